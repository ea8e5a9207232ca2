"""What an id that is not of a usual shape looks like: merely unusual, or damaged on its way from where it was kept.

- 32 hexadecimal digits and 7 digits are usual. Other ids exist, so another shape is only a reason to look twice.
- What spreadsheets, programs and copied texts make of ids, or put in their place, is damaged. It is taken only on
  somebody's word: TMS refuses a whole list for one id that it does not know, and might know one that nobody meant.
- What may well be an id is not damaged. Digits with an e among them, such as 73928e05, are an id in hexadecimal; only a
  spreadsheet that took them for a power of ten has put in a dot or a sign.
"""

import re
from collections.abc import Iterable

from tmsdash.csv_text import ID_COLUMN

UNUSUAL, HEADER = "unusual for a customer id", "damaged (the header of a column)"

_USUAL = "[0-9a-f]{32}|[0-9]{7}"
_MARKS = "\"'`\u00b4\u2018-\u201f\u2039\u203a\u00ab\u00bb"
_POINTS = ".:!?*&%$#~^/\u2026\u2022\u00b7"
# Invisible, though Unicode does not say so: selectors of variants, and letters that are blank.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
# What writing programs make of - -- ' " ... fi, and East Asian ones of all that is ASCII.
_TYPESET = "\u2010-\u2015\u2212\u2018-\u201f\u2026\ufb00-\ufb06\uff01-\uff5e"
# What becomes of UTF-8 that is read as something else.
_MISREAD = "(?-i:\ufffd|[\u00c2\u00c3][\u00a1-\u00bf]|\u00e2\u20ac|\u00ef\u00bb\u00bf)"
_MONTH = (
    "(?:jan|ene|gen|feb|f[eé]v|m[aä]r|mrz|apr|avr|abr|may|mai|mag|maj|jun|juin|giu|jul|juil|lug|aug|ago|ao[uû]t|sept?|set"
    "|o[ckt]t|out|nov|d[eé][czs]|dic)"
)
_GAP = r"[\s_.:#/-]*+"
_OWNER = "(?:customers?|cust|clients?|kunden?|accounts?|tenants?)"
_NUMBER = "(?:c?ids?|uuid|guid|n[or]|num(?:mer|ber)?|name|key|code)"

# In the order in which they are looked for. Ids are anybody's text of up to 128 characters: no part that repeats is
# within another one that does, unless it is possessive.
_DAMAGED = {
    "an error of a spreadsheet, such as #N/A": r"#+[^\W\d_].*|#+[¡¿].*|#{2,}|(?:err|error|fehler|erreur):\d+",
    "a missing value, such as NULL or nan": (
        r"[-+]?[(\[{<]*+(?:(?:db)?null|nil|none|nan(?:\(ind\))?|na|n[./]a\.?|nat|undefined|unknown|missing|empty|blank"
        r"|tb[ad]|todo|inf(?:inity)?|leer|keine?|vide|aucune?|vac[ií]o|nul[oa]?|nulle|ninguno|vuoto)[)\]}>]*+"
        r"|not[_-]?(?:found|available|applicable|set|assigned|specified)|no[_-]?(?:data|value)"
        r"|\\N|\d\.#\w+|0{8}-0{4}-0{4}-0{4}-0{12}"
    ),
    "a truth value, such as TRUE": (
        "true|false|wahr|falsch|vrai|faux|verdadeir[oa]|verdader[oa]|fals[oa]|vero|waar|onwaar|san[nt]|falskt?|prawda"
        "|fałsz|истина|ложь|yes|no|ja|nein|oui|non"
    ),
    "no letter and no digit": r"[\W_]++",
    "a date or a time": (
        r"\d{1,4}(?:/\d{1,4}){1,2}(?:[T_-].*)?|\d{1,2}[-.]\d{1,2}[-.]\d{2,4}(?:[T_-].*)?"
        r"|\d{4}[-.]\d{1,2}[-.]\d{1,2}(?:[T_-].*)?|\d{4}-W\d\d(?:-\d)?|\d{2,4}[年년].*"
        r"|\d{1,4}:\d\d(?::\d\d)?(?:\.\d+)?(?:[ap]m)?"
        rf"|\d{{1,2}}[-./]{_MONTH}\.?|{_MONTH}[-./]\d{{2,4}}|\d{{1,4}}[-./]{_MONTH}[^\W\d_]{{0,6}}\.?[-./]\d{{1,4}}"
    ),
    "a number as spreadsheets write it, such as 1.23E+11": (
        r"[-+]?\d++(?:\.\d*+E[-+]?|E[-+])\d++|[-+]?(?=\d*\.)[\d.]++|\d{1,3}(?:['\u2019]\d{3})+(?:\.\d+)?"
        r"|[$€£¥]\d[\d.]*|\d[\d.]*[%€$£¥]|[1-9]\d{14}0{3,}"
    ),
    "the header of a column": (
        rf"{ID_COLUMN.pattern}|(?:{ID_COLUMN.pattern})(?<=\.)\d{{1,2}}|(?:column|col|spalte|field|feld|unnamed:)_?\d{{1,3}}"
        rf"|{_GAP}(?:{_OWNER}(?:{_GAP}{_NUMBER})?|c?ids|uuid|guid|name|action|cluster|status){_GAP}"
    ),
    "the last line of a report": r"(?:grand_?|sub_?)?(?:total|sum|summe|count|gesamt|ergebnis|anzahl)s?(?:[:=]\d*)?",
    "several cells or ids in one": (
        rf".*[|¦].*|(?:[0-9a-f]{{32}}){{2,4}}|[0-9a-f]{{32}}(?:{ID_COLUMN.pattern})"
        rf"|(?:{_USUAL})(?:[^\w.-]|--).+|.+(?:[^\w.-]|--)(?:{_USUAL})"
    ),
    "a spreadsheet formula": r"[-=+@\uff0b\uff0d\uff1d\uff20].*|[^!]+!\$?[a-z]{1,3}\$?\d+",
    "text as programs write it, such as %20, a link or a typographic mark": (
        rf".*(?:[{_BLANK}{_TYPESET}]|{_MISREAD}|\\|://|%[0-9a-f]{{2}}|\(').*|mailto:.*|system\.[\w.\[\]]+"
        r"|[0-9a-f\u0430-\u044f]{32}"  # Cyrillic letters look the same as some of the others
    ),
    "marks left over from a text, such as a quotation mark or a dot": (
        rf"[{_MARKS}{_POINTS}(\[{{<>].*|.*[{_MARKS}{_POINTS}=@]|.*\".*|[^()\[\]{{}}<>]*+[)\]}}>].*|.*[(\[{{<][^)\]}}>]*"
    ),
}
_USUAL_ID = re.compile(_USUAL, re.IGNORECASE)
# Nothing damaged is like this, which spares most ids the tests one by one: words with digits, and UUIDs.
_PLAIN = re.compile(
    r"(?=[a-z_]*+[0-9])(?!col|spalte|field|feld|[1-9][0-9]{14}0{3})[a-z0-9_]{1,31}"
    r"|(?!0{8}-)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    re.IGNORECASE,
)
_DAMAGED_ID = [(re.compile(pattern, re.IGNORECASE), f"damaged ({what})") for what, pattern in _DAMAGED.items()]


def shape_of(cid: str) -> str:
    """Return what an id looks like that is not of a usual shape: UNUSUAL, or how it is damaged; else nothing."""
    if _USUAL_ID.fullmatch(cid):
        return ""
    if _PLAIN.fullmatch(cid):
        return UNUSUAL
    return next((shape for pattern, shape in _DAMAGED_ID if pattern.fullmatch(cid)), UNUSUAL)


def is_damaged(shape: str) -> bool:
    """Tell whether ids of a shape are taken only on somebody's word."""
    return shape not in ("", UNUSUAL)


def has_damaged(cids: Iterable[str]) -> bool:
    """Tell whether any of some ids is taken only on somebody's word."""
    return any(is_damaged(shape_of(cid)) for cid in cids)
