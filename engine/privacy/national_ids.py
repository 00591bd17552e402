"""Numbers by which states know people, where their check digits hold; most count only beside a word that names them.

Checks: DNI and NIE (letter of the number modulo 23), codice fiscale (DM 23/12/1976), CPF (two digits modulo 11), PESEL
and personnummer (weights modulo 10, Luhn), BSN (weights modulo 11), NIR (97 minus the number modulo 97), henkilotunnus
(modulo 31), Steuer-ID (ISO 7064 MOD 11,10), Aadhaar (Verhoeff), the resident identity of China (GB 11643, ISO 7064 MOD
11-2). A national insurance number has no check and counts by its form beside its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

KIND = "national-id"
REACH = 60
"""How far before a number its name may stand, in characters."""
_ODD_VALUES = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
"""What the letters A to Z are worth in an odd place of a codice fiscale; the digits are worth what A to J are."""
_VERHOEFF_TURN = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def find_national_ids(text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    """Begin, end and class of each number of a person, in no order."""
    for found in _BY_FORM.finditer(text):
        begin = found.start() - (6 if found.lastgroup == "cf" else 0)
        if _CHECKS[found.lastgroup or ""](_plain(text[begin : found.end()])):
            yield begin, found.end(), KIND
    for name, (pattern, is_valid) in _BY_NAME.items():
        place = lowered.find(name)
        while place >= 0:
            after = place + len(name)
            if not (lowered[place - 1 : place].isalnum() or lowered[after : after + 1].isalpha()):
                number = pattern.search(text, after, after + REACH)
                if number is not None and is_valid(_plain(number[0])):
                    yield *number.span(), KIND
            place = lowered.find(name, after)


def _plain(written: str) -> str:
    return "".join(char for char in written if char.isalnum())


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def _is_dni(number: str) -> bool:
    digits = str("XYZ".index(number[0])) + number[1:-1] if number[0] in "XYZ" else number[:-1]
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == number[-1].upper()


def _is_codice_fiscale(number: str) -> bool:
    values = [int(char) if char.isdigit() else ord(char) - 65 for char in number[:15]]
    total = sum(_ODD_VALUES[value] if place % 2 == 0 else value for place, value in enumerate(values))
    return chr(65 + total % 26) == number[15]


def _is_cpf(number: str) -> bool:
    return len(set(number)) > 1 and all(
        _weighted(number[:length], tuple(range(length + 1, 1, -1))) * 10 % 11 % 10 == int(number[length])
        for length in (9, 10)
    )


def _is_pesel(number: str) -> bool:
    return _weighted(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0 and 1 <= int(number[2:4]) % 20 <= 12


def _is_bsn(number: str) -> bool:
    return _weighted(number, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and len(set(number)) > 2


def _is_nir(number: str) -> bool:
    return 97 - int(number[:13]) % 97 == int(number[13:])


def _is_hetu(number: str) -> bool:
    digits = re.sub(r"\D", "", number[:-1])
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(digits) % 31] == number[-1].upper()


def _is_personnummer(number: str) -> bool:
    digits = re.sub(r"\D", "", number)[-10:]
    doubled = [int(char) * (2 if place % 2 == 0 else 1) for place, char in enumerate(digits)]
    return sum(one - 9 if one > 9 else one for one in doubled) % 10 == 0 and 1 <= int(digits[2:4]) <= 12


def _is_steuer_id(number: str) -> bool:
    product = 10
    for char in number[:10]:
        product = ((int(char) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(number[10]) and len(set(number[:10])) in (8, 9)


def _is_aadhaar(number: str) -> bool:
    total = 0
    for place, char in enumerate(reversed(number)):
        digit = int(char)
        for _ in range(place % 8):
            digit = _VERHOEFF_TURN[digit]
        total = _dihedral(total, digit)
    return total == 0 and len(set(number)) > 2


def _dihedral(one: int, other: int) -> int:
    """The product of two elements of the dihedral group of ten elements."""
    if one < 5:
        return (one + other) % 5 + (5 if other >= 5 else 0)
    return (one - other) % 5 if other >= 5 else (one - other) % 5 + 5


def _is_resident(number: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[_weighted(number[:17], weights) % 11] == number[17].upper()


def _has_form(number: str) -> bool:
    return number[:2].upper() not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


_CHECKS: dict[str, Callable[[str], bool]] = {
    "cf": _is_codice_fiscale,
    "cpf": _is_cpf,
    "resident": _is_resident,
    "nir": _is_nir,
}
_BY_FORM = re.compile(
    r"\d(?:(?P<cf>(?<=[A-Z]{6}\d)(?<![\w.-].{7})\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z])"
    r"|(?<![\w.-].)(?:(?P<cpf>\d\d\.\d{3}\.\d{3}-\d\d)"
    r"|(?P<resident>\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx])"
    r"|(?P<nir>(?<=[12]) \d\d (?:0[1-9]|1[0-2]) \d\d \d{3} \d{3} \d\d)))(?![\w-])",
    re.ASCII,
)
"""What is known without its name."""
_ELEVEN = re.compile(r"(?<!\w)\d{11}(?!\w)")
_DNI = re.compile(r"(?<!\w)(?:\d{8}|[XYZ]\d{7})-?[A-Za-z](?!\w)"), _is_dni
_CPF = re.compile(r"(?<!\w)\d{3}\.?\d{3}\.?\d{3}-?\d\d(?!\w)"), _is_cpf
_BSN = re.compile(r"(?<!\w)\d{9}(?!\w)"), _is_bsn
_NIR = re.compile(r"(?<!\w)[12]\d{14}(?!\w)"), _is_nir
_HETU = re.compile(r"(?<!\w)[0-3]\d[01]\d{3}[-+A]\d{3}[0-9A-FHJ-NPR-Y](?!\w)"), _is_hetu
_PERSONNUMMER = re.compile(r"(?<!\w)(?:\d\d)?\d{6}[-+]?\d{4}(?!\w)"), _is_personnummer
_STEUER = re.compile(r"(?<!\w)[1-9]\d ?\d{3} ?\d{3} ?\d{3}(?!\w)"), _is_steuer_id
_AADHAAR = re.compile(r"(?<!\w)[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}(?!\w)"), _is_aadhaar
_NINO = re.compile(r"(?<!\w)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D](?!\w)"), _has_form
_BY_NAME: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "aadhaar": _AADHAAR,
    "aadhar": _AADHAAR,
    "burgerservicenummer": _BSN,
    "bsn": _BSN,
    "cpf": _CPF,
    "dni": _DNI,
    "henkil\u00f6tunnus": _HETU,
    "henkilotunnus": _HETU,
    "hetu": _HETU,
    "identifikationsnummer": _STEUER,
    "idnr": _STEUER,
    "insee": _NIR,
    "national insurance": _NINO,
    "nie": _DNI,
    "nif": _DNI,
    "nino": _NINO,
    "personnummer": _PERSONNUMMER,
    "personnr": _PERSONNUMMER,
    "pesel": (_ELEVEN, _is_pesel),
    "s\u00e9curit\u00e9 sociale": _NIR,
    "securite sociale": _NIR,
    "steueridentifikationsnummer": _STEUER,
    "steuer-id": _STEUER,
    "steuerid": _STEUER,
}
NAMES = tuple(_BY_NAME)
"""The words beside which a number is looked at, in lower case."""
