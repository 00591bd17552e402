"""What an assistant is told to do for one verb: which tools, in which order, and what to report.

The prompts of the server and the slash commands of the Claude Code plugin are made of the same words.
"""

from __future__ import annotations

from dataclasses import dataclass

MEASURED = "Report only figures that a tool measured, never your own estimate."
ON = "Where a tool answers with state `running`, call it again with its job_id until it is done."


@dataclass(frozen=True)
class Recipe:
    """The steps of one verb. `argument` is what may be given, `tools` what the steps call.

    `goal` is worded for a given argument (`{given}`), `whole` for none; `with_it` and `without` word the same place
    of the steps (`{with}`) for the two. A recipe without `whole` needs its argument.
    """

    verb: str
    title: str
    about: str
    argument: str
    what: str
    goal: str
    whole: str
    steps: tuple[str, ...]
    tools: tuple[str, ...]
    with_it: str = ""
    without: str = ""

    @property
    def name(self) -> str:
        """The prompt's name, the verb's as on the command line."""
        return f"aqe-{self.verb}"

    def text(self, given: str = "") -> str:
        """The whole instruction, for what was given."""
        goal = self.goal.replace("{given}", given) if given else self.whole
        fill = (self.with_it if given else self.without).replace("{given}", given)
        steps = [step.replace("{with}", fill) for step in (*self.steps, MEASURED)]
        return "\n".join([f"{goal} {ON}", *(f"{number}. {step}" for number, step in enumerate(steps, 1))])


RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "generate",
        "Generate tests",
        "Generate executed tests for a target, look at suspected bugs, close the gaps.",
        "target",
        "file or module, or one name in it: PATH::NAME",
        "Write tests for `{given}` that hold.",
        "",
        (
            "Call generate_tests with {with}.",
            "Read the suspected bugs first: look at the code of each and say whether it is a bug. Do not write a test "
            "that asserts a bug as right.",
            "For what it could not reach, write your own tests as a draft and give them to verify_tests; keep those "
            "that are stable and add something, mend or drop the rest.",
            "Tell of passed runs, lines, branches and mutants killed.",
        ),
        ("generate_tests", "verify_tests"),
        "target=`{given}`",
    ),
    Recipe(
        "execute",
        "Run the suite",
        "Run the tests and sort what fails into broken and flaky.",
        "paths",
        "test files, folders or node ids; none is the whole suite",
        "Run the tests of `{given}` and explain what fails.",
        "Run the project's tests and explain what fails.",
        (
            "No tool runs the whole suite: run `aqe execute{with}` in the shell, which records each outcome for the "
            "flaky hunt. For only the tests that a change needs, call select_tests with run=true instead.",
            "For each failure read the test and the code it calls; say which of the two is wrong and why.",
            "Where a failure seems not to depend on the code, call find_flaky_tests with test=NODEID before you call "
            "it flaky.",
        ),
        ("select_tests", "find_flaky_tests"),
        " {given}",
    ),
    Recipe(
        "coverage",
        "Close the gaps",
        "Find the riskiest untested code, test it, measure again.",
        "since",
        "git base; then only what changed since counts",
        "Close the riskiest gaps in what changed since `{given}`.",
        "Close the riskiest gaps of the test suite.",
        (
            "Call coverage_gaps{with}. Take the gaps in its order; each says why it is risky.",
            "For each of the first five call generate_tests with target=PATH::NAME; look at suspected bugs before you "
            "keep a test.",
            "What it cannot reach: write a draft and give it to verify_tests; keep what is stable and adds something.",
            "Call coverage_gaps again and tell both results.",
        ),
        ("coverage_gaps", "generate_tests", "verify_tests"),
        " with since=`{given}`",
    ),
    Recipe(
        "audit",
        "Audit the tests",
        "Find tests that cannot fail, assert nothing or repeat others.",
        "paths",
        "test files to judge as well by running them against mutants",
        "Audit the test suite, and `{given}` above all.",
        "Audit the test suite.",
        (
            'Call review_changes with scope="tests".',
            "Call verify_tests with paths={with}: it runs them shuffled and against mutants, and names tests that add "
            "nothing.",
            "For each finding read the test. Propose the assertion that is missing, or that the test goes, and why.",
            "Give a changed test to verify_tests as a draft before you keep it.",
        ),
        ("review_changes", "verify_tests"),
        "[`{given}`]",
        "the files with the gravest findings",
    ),
    Recipe(
        "flaky",
        "Hunt flaky tests",
        "Find flaky tests, their causes and the command that reproduces each.",
        "test",
        "node id of one test to explain",
        "Find out whether `{given}` is flaky, and why.",
        "Find the flaky tests of the suite, and why they are.",
        (
            "Call find_flaky_tests{with}.",
            "For each flaky test read its cause and its `repro` command, then the test and, where tests that break it "
            "are named, those: find the state that they share.",
            "Mend the cause, not the symptom: no longer sleeps, no retries.",
            "Call find_flaky_tests with test=NODEID again for each one that you mended, and tell its verdict.",
        ),
        ("find_flaky_tests",),
        " with test=`{given}`",
    ),
    Recipe(
        "review",
        "Review a change",
        "Review what changed, by running the old and the new code on the same inputs.",
        "since",
        "git base; without it the working tree against HEAD",
        "Review what changed since `{given}`.",
        "Review what is not committed yet.",
        (
            "Call review_changes{with}. Give `message` with what the change is for: a difference that it speaks of is "
            "a note, not an alarm.",
            "For each finding look at the code. An input on which old and new differ was executed: say whether that "
            "was meant.",
            "Call select_tests with run=true for the same change, and tell which of the tests that it needs fail.",
            "If there is nothing to report, say so; add no findings of style.",
        ),
        ("review_changes", "select_tests"),
        " with since=`{given}`",
    ),
    Recipe(
        "select",
        "Run what a change needs",
        "Run the tests that a change needs, each with its reason.",
        "since",
        "git base; without it the working tree against HEAD",
        "Run the tests that the changes since `{given}` need.",
        "Run the tests that the uncommitted changes need.",
        (
            "Call select_tests with run=true{with}.",
            "If it falls back to the whole suite, tell the reason that it gives; where it misses a map, say that "
            "`aqe execute --map` in the shell records one.",
            "For each failing test say which change broke it; mend the code, or the test where the change was meant.",
            "Call it again until what it runs passes, and tell how many tests of how many ran.",
        ),
        ("select_tests",),
        " and since=`{given}`",
    ),
    Recipe(
        "analyze",
        "Quality report",
        "A report on the tests' quality: gaps, findings, audit, flakiness.",
        "since",
        "git base of the changes to look at",
        "Write a quality report on this project and on what changed since `{given}`.",
        "Write a quality report on this project.",
        (
            'Call coverage_gaps, review_changes{with}, review_changes with scope="tests", and find_flaky_tests.',
            "Write one page: what is untested and risky; what the change breaks, with the input that shows it; which "
            "tests prove nothing; which are flaky, with cause. Name file and line.",
            "End with the three steps that help most, each with the tool that does it. What a tool could not measure "
            "is unknown, not fine.",
        ),
        ("coverage_gaps", "review_changes", "find_flaky_tests"),
        " with since=`{given}`",
    ),
)
