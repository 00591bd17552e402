"""English words that carry the question rather than its topic: small ones, which say nothing by themselves, and general
ones (the common verbs, adjectives and adverbs), for which a text may as well have another word."""

from __future__ import annotations

from functools import cache

from aqe.engine.memory.terms.text import query_terms

_SMALL = """
a about after all also always am an and any are as at be been before being but by can could d did do does doing done
each else even ever every for from get gets give gives given go goes got had happen happens has have having he her here
him his how i if in instead into is it its itself just kind let like ll m made make makes making many may me mean means
might mine more most much must my need needs no nor not now of off on once one only onto or other our ours out over own
per please re s shall she should so some such t take takes taking taken tell than that the their them then there these
they thing things this those to too under until up upon us use used uses using ve very want wants was we were what when
where whether which while who whom whose why will with within without would you your yours
above across against along alongside although among amongst amid anybody anyhow anyone anything anyway anywhere around
because behind below beneath beside besides between beyond despite down during either everybody everyone everything
everywhere except herself himself however inside less like myself neither nobody none nothing nowhere off onto ourselves
outside per round seem since somebody somehow someone something somewhere themselves therefore though through throughout
thus till toward towards underneath unless unlike upon via whatever whenever wherever whereas whichever whoever yes
yourself ain aren couldn didn doesn don hadn hasn haven isn mightn mustn needn shan shouldn wasn weren won wouldn
cannot nd rd st th
"""

_VERBS = """
accept achieve act add agree aim allow answer appear apply approach arrange arrive ask assume attempt avoid become begin
behave believe belong bring build call care carry cause change check choose claim clear close collect come compare
complete concern consider consist contain continue control cope correct count cover create cut deal decide define depend
describe determine develop differ discover discuss divide draw drop end enjoy ensure enter exist expect explain express
face fail fall feel fill find finish fit fix follow force form gain guarantee guess handle hang hear help hold hope
ignore imagine imply improve include increase indicate involve join keep know lack last lead learn leave lie lift
limit live look lose manage matter measure meet mention mind miss move note notice obtain occur offer open operate
overcome own pass perform permit pick place plan play point possible prefer prepare prevent proceed produce promise
protect prove provide pull push put quit raise reach realise recognise reduce refer regard relate rely remain remember
remind remove repeat replace report represent require result return reveal rise rule run save say see seem select send
serve set settle share show solve speak spend split stand start state stay stick stop succeed suggest supply support
suppose survive talk tend think touch treat try turn understand vary view wait walk watch win wish wonder work worry
write
"""

_IRREGULAR = """
became become began begun bought broke broken brought built came caught chose chosen drawn drew dropped fallen fell felt
fought found gave gone grew grown heard held hidden hit hung kept knew known laid lain led left lent lost made meant met
paid quit ran read risen rose said sat saw seen sent set shown slept sold sought spent split spoke spoken stood stuck
taken taught thought threw thrown told took understood went won wore worn written wrote
"""

_QUALITIES = """
able absolute actual additional again ago alone already alternative another apart away back bad basic best better big
both bottom brief broad certain clean close common complete correct current deep different difficult direct due early
easy empty enough entire equal essential exact extra fair far fast few final fine first free full further future general
good great half hard heavy high identical important individual initial just large last late later least left less light
likely little long low main major maximum middle minimum minor modern multiple near necessary new next nice normal often
old opposite ordinary original particular past perfect plain possible potential present previous primary proper quick
quite rather ready real recent regular related relevant right rough same second separate serious several short similar
simple single slow small soon special specific still strong successful sudden sure tall thin third tiny together top
total true twice typical unique usual various wide whole worth wrong yet
"""

_NOUNS = """
amount bit case course detail end example fact form group idea item kind lot manner matter number order part person
piece place point problem purpose question range rest result side situation sort step stuff thing time type way word
"""


@cache
def small_words() -> frozenset[str]:
    """The stems of words that say nothing about a topic."""
    return _stems(_SMALL)


@cache
def general_words() -> frozenset[str]:
    """The stems of common words that say little about a topic."""
    return _stems(_VERBS) | _stems(_IRREGULAR) | _stems(_QUALITIES) | _stems(_NOUNS)


def _stems(text: str) -> frozenset[str]:
    return frozenset(term for word in text.split() for term in query_terms(word))
