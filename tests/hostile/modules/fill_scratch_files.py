"""Makes files until no more can be made; 30,000 must not be possible."""
import os

STATES = ("ok", "output")


def attack(args, emit):
    made = 0
    folder = os.environ["TMPDIR"]
    try:
        for number in range(30000):
            os.close(os.open(os.path.join(folder, str(number)), os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError:
        pass
    return ["%d files" % made] if made > 25000 else []
