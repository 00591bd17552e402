"""Personal data: mail, telephone and internet addresses, payment cards, bank accounts, US social security numbers.

What is not personal data here, since nobody lives there: addresses in the domains that RFC 2606 and RFC 6761 keep for
examples and tests, senders that take no mail, `git@host:`, private, loopback, link-local and documentation networks
(RFC 5737, RFC 3849), the public resolvers, version numbers. Card numbers pass Luhn's check and a known issuer's range,
accounts the check of ISO 7064 (mod 97-10) and their country's length, telephone numbers a country code of ITU E.164.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

_LOCAL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._%+'-]{0,62}[A-Za-z0-9_+-])?\Z")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![\w-])", re.ASCII)
_RESERVED = re.compile(
    r"(?i)(?:.*\.)?(?:example\.(?:com|org|net|edu)|example|test|invalid|localhost|local|localdomain|internal|lan|corp)"
)
_TOY = re.compile(
    r"(?i)(?:[a-z]{1,2}\d?|foo|bar|baz|test|domain|email|host|server|site|mail|abc|xyz|your-?domain)\.[a-z]{2,4}"
)
_NO_PERSON = re.compile(r"(?i)(?:no-?reply|do-?not-?reply|git|hg|mailer-daemon)|.*@users\.noreply\..*")
_URL_USER = re.compile(r"://[^\s/\"'<>]{0,100}\Z")
_FILE_ENDINGS = frozenset(
    ("py", "js", "ts", "png", "jpg", "svg", "css", "html", "json", "toml", "yaml", "yml", "md", "txt")
)
_PHONE = re.compile(r"\+(?<![\w+.*/=-].)(?:00)?\(?[1-9](?:[ .\-/()]{0,2}\d){6,16}+(?!\w)", re.ASCII)
_PHONE_00 = re.compile(r"00(?<![\w+.*/=-]..)[1-9](?:[ \-/()]{0,2}\d){6,16}+(?!\w)", re.ASCII)
_PHONE_NATIONAL = re.compile(
    r"[0(](?<![\w.+/-].)(?:(?<=0)\d(?:[ ./()-]{1,2}\d|\d){6,11}+"
    r"|(?<=\()(?:0\d{1,4}\)(?:[ ./-]{0,2}\d){4,9}+|[2-9]\d\d\)[ ]?[2-9]\d\d[ .-]\d{4}))(?![\w-])",
    re.ASCII,
)
_PHONE_NAME = re.compile(
    r"(?i)(?<![^\W_])(?:tel(?:ephone|efon(?:nummer)?|[e\u00e9]fono|efone)?|t[\u00e9]l(?:[e\u00e9]phone)?"
    r"|phone(?: ?number)?|mobile?|mobil(?:funk|nummer)|handy(?:nummer)?|fax)[\"']?\.?[ ]?[:=]?[ ]{0,3}[\"']?\Z"
)
"""A number in national form behind its name: with a zero in front, or as North America writes it."""
_IBAN = re.compile(r"[A-Z](?<![A-Za-z0-9].)[A-Z]\d{2}(?:[ -]?[A-Z0-9]){11,30}+")
_NUMBER = re.compile(
    r"\d(?:(?P<address>(?<![\w.+@-]\d)\d{0,2}\.(?:\d{1,3}\.){2}\d{1,3}(?![\w-]|\.\w|\+\w))"
    r"|(?P<card>(?<![\w.+:/#]\d)(?<![^\s=,;\[({\"'|]-\d)(?:[ -]?\d){12,18}(?!\w|[.:\-]\d))"
    r"|(?P<ssn>(?<![\w-]\d)(?<!9)\d{2}(?<!000)(?<!666)-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])))",
    re.ASCII,
)
_IPV6_MIDDLE = re.compile(r":[0-9A-Fa-f]{0,4}:")
_NOT_OF_IPV6 = re.compile(r"[^0-9A-Fa-f:]")
_OF_IPV6 = "0123456789ABCDEFabcdef:"
LONGEST_IPV6 = 40
_IPV6_AFTER = re.compile(r"[0-9A-Fa-f:]{0,40}(?<!(?<!:):)(?![\w]|:\w)", re.ASCII)
_SSN_WORD = re.compile(r"(?i)ssn|social[\s_-]?security")
_NOBODYS_SSN = frozenset(("078-05-1120", "111-22-3333", "123-45-6789", "219-09-9999"))
"""Printed in advertisements and manuals."""
_FICTIONAL = re.compile(r"1\d{3}55501\d\d")
"""Telephone numbers that the North American numbering plan keeps for fiction."""
_VERSION_BEFORE = re.compile(
    r"(?i)(?:\bv|\bver|version\w{0,10}|release\w{0,5}|[=<>~!]=|\^|~|\bbuild|\boid|\brev)\W{0,12}\Z"
)
_NETWORKS_WITH_EXCEPTIONS = frozenset((0, 10, 100, 127, 169, 172, 192, 198, 203))
"""First octets below 224 of which some addresses are nobody's (IANA's registry of special addresses)."""
_RESOLVERS = frozenset(("1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9", "1.2.3.4", "4.3.2.1", "1.2.3.0"))
_COUNTRY_CODE = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(?:2[1-69]|3[578]|42|5[09]|6[7-9]|8[0578]|9[679])\d"
)
_IBAN_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FK", "FO", "GL", "NL", "SD"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "XK", "MN"), 20),
    **dict.fromkeys(("CH", "CR", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "OM", "SO", "TL"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HN", "HU", "LB", "NI", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    **dict.fromkeys(("LC",), 32),
    **dict.fromkeys(("RU",), 33),
}


def find_personal_data(text: str) -> Iterator[tuple[int, int, str]]:
    """Begin, end and class of each piece of personal data, in no order."""
    yield from _emails(text)
    yield from _found(_PHONE, text, _is_phone, "phone")
    yield from _found(_PHONE_00, text, _is_phone, "phone")
    yield from _named_phones(text)
    yield from _numbers(text)
    yield from _ibans(text)
    yield from _ipv6(text)


def passes_luhn(digits: str) -> bool:
    """Luhn's check digit (US patent 2,950,048).

    >>> passes_luhn("4111111111111111"), passes_luhn("4111111111111112")
    (True, False)
    """
    doubled = [int(char) * (2 if place % 2 else 1) for place, char in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def passes_mod_97(account: str) -> bool:
    """The check of an IBAN without blanks (ISO 13616, ISO 7064 mod 97-10).

    >>> passes_mod_97("GB82WEST12345698765432")
    True
    """
    return int("".join(str(int(char, 36)) for char in account[4:] + account[:4])) % 97 == 1


def _found(
    pattern: re.Pattern[str], text: str, is_it: Callable[[str], bool], kind: str
) -> Iterator[tuple[int, int, str]]:
    for found in pattern.finditer(text):
        if is_it(found[0]):
            yield *found.span(), kind


def _named_phones(text: str) -> Iterator[tuple[int, int, str]]:
    for found in _PHONE_NATIONAL.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        if len(digits) == len(found[0]) or not 9 <= len(digits) <= 12 or len(set(digits)) < 4:
            continue
        if (
            _FICTIONAL.fullmatch(f"1{digits}")
            or _PHONE_NAME.search(text, max(0, found.start() - 30), found.start()) is None
        ):
            continue
        yield *found.span(), "phone"


def _numbers(text: str) -> Iterator[tuple[int, int, str]]:
    """Addresses of the internet, cards and social security numbers: one pass for all that begins with a digit."""
    for found in _NUMBER.finditer(text):
        start, end = found.span()
        if found.lastgroup == "address":
            if _is_public(found[0]) and _VERSION_BEFORE.search(text, max(0, start - 24), start) is None:
                yield start, end, "ip-address"
        elif found.lastgroup == "card":
            if _is_card(found[0]):
                yield start - (text[start - 1 : start] == "-"), end, "credit-card"
        elif found[0] not in _NOBODYS_SSN and _SSN_WORD.search(text, max(0, start - 60), end + 30) is not None:
            yield start, end, "us-ssn"


def _emails(text: str) -> Iterator[tuple[int, int, str]]:
    place = text.find("@")
    while place >= 0:
        domain = _DOMAIN.match(text, place + 1)
        local = None if domain is None else _LOCAL.search(text, max(0, place - 64), place)
        if domain is not None and local is not None and _is_mailbox(text, local[0], place, domain):
            start = local.start()
            is_break = text[start - 1 : start] == "\\" and text[start] in "nrt" and start + 1 < place
            yield start + is_break, domain.end(), "email"
        place = text.find("@", place + 1)


def _is_mailbox(text: str, local: str, at: int, domain: re.Match[str]) -> bool:
    name = domain[0]
    if _RESERVED.fullmatch(name) or _TOY.fullmatch(name) or name.rpartition(".")[2].lower() in _FILE_ENDINGS:
        return False
    if _URL_USER.search(text, max(0, at - 120), at) is not None:
        return False  # the password or user of a URL, which another rule judges
    after = text[domain.end() : domain.end() + 2]
    if after[:1] in ("(", "/") or (after[:1] == ":" and local.lower() in ("git", "hg")):
        return False
    return _NO_PERSON.fullmatch(local) is None and _NO_PERSON.fullmatch(f"{local}@{name}") is None


def _is_phone(written: str) -> bool:
    digits = re.sub(r"\D", "", written)
    if digits.startswith("00"):
        digits = digits[2:]
        if not written.startswith("+") and not re.search(r"[ ()/-]", written):
            return False  # a number with zeros in front
    if not 8 <= len(digits) <= 15 or len(set(digits)) < 3:
        return False
    if re.fullmatch(r"\+?\d+\.\d+", written) or re.match(r"\+?\d{4,6}-[01]\d-[0-3]\d", written):
        return False  # a number, a date
    return _COUNTRY_CODE.match(digits) is not None and _FICTIONAL.fullmatch(digits) is None


def _is_card(written: str) -> bool:
    groups = re.split(r"[ -]", written)
    if len(groups) > 1 and (len(set(re.findall(r"[ -]", written))) > 1 or not _are_card_groups(groups)):
        return False
    digits = "".join(groups)
    if len(set(digits)) < 2 or not _is_issued(digits):
        return False
    return passes_luhn(digits)


def _are_card_groups(groups: list[str]) -> bool:
    lengths = [len(group) for group in groups]
    return lengths in ([4, 6, 5], [4, 6, 4]) or (
        len(lengths) >= 4 and set(lengths[:-1]) == {4} and 1 <= lengths[-1] <= 4
    )


def _is_issued(digits: str) -> bool:
    """Whether length and first digits are those of a card network."""
    length, two, four = len(digits), int(digits[:2]), int(digits[:4])
    if digits[0] == "4":
        return length in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16
    if two in (34, 37):
        return length == 15
    if two in (36, 38, 39) or 300 <= int(digits[:3]) <= 305:
        return length in (14, 16)
    return (four == 6011 or two in (62, 65) or 644 <= int(digits[:3]) <= 649 or 3528 <= four <= 3589) and length == 16


def _ibans(text: str) -> Iterator[tuple[int, int, str]]:
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(found[0][:2])
        if length is None:
            continue
        end, seen = found.start(), 0
        while end < found.end() and seen < length:
            seen += text[end] not in " -"
            end += 1
        account = re.sub("[ -]", "", text[found.start() : end])
        if len(account) == length and not text[end : end + 1].isalnum() and passes_mod_97(account):
            yield found.start(), end, "iban"


def _ipv6(text: str) -> Iterator[tuple[int, int, str]]:
    end = 0
    for found in _IPV6_MIDDLE.finditer(text):
        if found.start() < end:
            continue
        near = text[max(0, found.start() - 40) : found.start()]
        begin = found.start() - len(near) + len(near.rstrip(_OF_IPV6))
        other = _NOT_OF_IPV6.search(text, found.start())
        end = len(text) if other is None else other.start()
        if end - begin > LONGEST_IPV6 or text[begin - 1 : begin] == "." or text[begin - 1 : begin].isalnum():
            continue
        after = _IPV6_AFTER.match(text, found.start())
        if after is not None and _is_public_v6(text[begin : after.end()]):
            yield begin, after.end(), "ip-address"


def _is_public(written: str) -> bool:
    octets = written.split(".")
    if any(int(octet) > 255 or (len(octet) > 1 and octet[0] == "0") for octet in octets) or written in _RESOLVERS:
        return False
    if all(int(octet) <= 40 for octet in octets) or len(set(octets)) == 1 or octets[3] in ("0", "255"):
        return False  # 2.11.0.3 is a version, 54.10.0.0 a network
    if written.startswith(("1.2.8", "1.3.", "2.5.4.", "2.5.29.")):
        return False  # an object identifier
    if int(octets[0]) not in _NETWORKS_WITH_EXCEPTIONS:
        return int(octets[0]) < 224
    address = ipaddress.IPv4Address(written)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _is_public_v6(written: str) -> bool:
    if written.count(":") < 3:
        return False
    try:
        address = ipaddress.IPv6Address(written)
    except ValueError:
        return False
    if not any(address.packed[8:]):
        return False  # a network
    return address.is_global and (address.packed[0] & 0xE0) == 0x20
