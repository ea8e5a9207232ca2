"""What an id that is not of a usual shape looks like: merely unusual, or damaged on its way from where it was kept.

- 32 hexadecimal digits and 7 digits are usual. Other ids exist, so another shape is only a reason to look twice.
- What spreadsheets, programs and copied texts make of ids, or put in their place, is damaged. It is taken only on
  somebody's word: TMS refuses a whole list for one id that it does not know, and might know one that nobody meant.
- What may well be an id is not damaged. Digits with an e among them, such as 73928e05, are an id in hexadecimal; only a
  spreadsheet that took them for a power of ten has put in a dot or a sign. Parts that are too large for a day or a
  month make no date, and three numbers between dots no number.
"""

import re
from collections.abc import Iterable

from tmsdash.csv_text import ID_COLUMN

UNUSUAL, HEADER = "unusual for a customer id", "damaged (the header of a column)"

_USUAL = "[0-9a-f]{32}|[0-9]{7}"
_ROUNDED = "[1-9][0-9]{14,16}0{12,}"  # 32 digits of which a program that counts with fractions kept the first 15 to 17
_MARKS = "\"'`\u00b4\u2018-\u201f\u2039\u203a\u00ab\u00bb"
_BRACKETS = r"()\[\]{}<>"
_POINTS = ".:!?*&%$#~^/\u2026\u2022\u00b7"
# Invisible, though Unicode does not say so: selectors of variants, and letters that are blank.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
# What writing programs make of - -- ' " ... fi (c), and East Asian ones of all that is ASCII; arrows, ticks, emoji.
_TYPESET = (
    "\u2010-\u2015\u2018-\u2021\u2026\u2122\u2190-\u27ff\u2900-\u2bff\ufb00-\ufb06\uff01-\uff5e"
    "\u00a9\u00ae\U0001f000-\U0001faff"
)
# What becomes of UTF-8 that is read as something else.
_MISREAD = "(?-i:\ufffd|[\u00c2\u00c3][\u00a1-\u00bf]|\u00e2\u20ac|\u00ef\u00bb\u00bf)"
_MONTH = (
    "(?:jan|ene|gen|feb|f[eé]v|m[aä]r|mrz|apr|avr|abr|may|mai|mag|maj|jun|juin|giu|jul|juil|lug|aug|ago|ao[uû]t|sept?|set"
    "|o[ckt]t|out|nov|d[eé][czs]|dic|янв|фев|мар|апр|мая|июн|июл|авг|сен|окт|ноя|дек)"
)
_MONTH_IN_FULL = (
    "(?:january|february|march|april|june|july|august|september|october|november|december|januar|februar|märz|juni|juli"
    "|oktober|dezember|janvier|février|mars|avril|juillet|août|septembre|octobre|novembre|décembre|enero|febrero|marzo"
    "|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre|gennaio|febbraio|aprile|maggio|giugno"
    "|luglio|settembre|ottobre|dicembre)"
)
# Of a date in numbers. In the first days of spreadsheets there are a day 0 and a year 1899.
_YEAR, _DAY, _MONTH_NUMBER = r"(?:1[89]|20)\d\d", r"(?:[0-2]?\d|3[01])", r"(?:0?[1-9]|1[0-2])"
_TIME = r"(?:[T_]\d.*|-\d\d[.:]\d\d.*)?"  # that may follow
_GAP = r"[\s_.:#/-]*+"
_OWNER = "(?:customers?|cust|clients?|kunden?|accounts?|tenants?)"
_NUMBER = "(?:c?ids?|uuid|guid|n[or]|num(?:mer|ber)?|name|key|code)"

_RANGE = "|".join(rf"\d{{{size}}}-\d{{{size}}}" for size in range(5, 13))
_BASE64 = "(?![0-9]+=)(?:[0-9a-z+/_-]{4})+(?:[0-9a-z+/_-]{2}==|[0-9a-z+/_-]{3}=)"  # two marks at its end belong to it

# In the order in which they are looked for. Ids are anybody's text of up to 128 characters: no part that repeats is
# within another one that does, unless it is possessive.
_DAMAGED = {
    "an error of a spreadsheet, such as #N/A": r"#+[^\W\d_].*|#+[¡¿].*|#{2,}|(?:err|error|fehler|erreur):\d+",
    "a missing value, such as NULL or nan": (
        r"[-+]?[(\[{<]{0,3}(?:(?:db)?null|nil|none|nan(?:\(ind\))?|na|n[./]a\.?|nat|undefined|unknown|missing|empty|blank"
        r"|tb[ad]|todo|nullptr|nonetype|nsnull|inf(?:inity)?|leer|keine?|vide|aucune?|vac[ií]o|nul[oa]?|nulle|ninguno|vuoto)[)\]}>]{0,3}"
        r"|not[_-]?(?:found|available|applicable|set|assigned|specified)|no[_-]?(?:data|value)"
        r"|\\N|\d\.#\w+|0{8}-0{4}-0{4}-0{4}-0{12}"
    ),
    "a truth value, such as TRUE": (
        "true|false|wahr|falsch|vrai|faux|verdadeir[oa]|verdader[oa]|fals[oa]|vero|waar|onwaar|san[nt]|falskt?|prawda"
        "|fałsz|истина|ложь|yes|no|ja|nein|oui|non|on|off"
    ),
    "no letter and no digit": r"[\W_]++",
    "a date or a time": (
        rf"\d{{1,4}}(?:/\d{{1,4}}){{1,2}}(?:[T_-].*)?|(?:{_DAY}[-.]{_MONTH_NUMBER}|{_MONTH_NUMBER}[-.]{_DAY})[-.]"
        rf"(?:{_YEAR}|\d\d){_TIME}|{_YEAR}(?P<gap>[-.]){_MONTH_NUMBER}(?P=gap){_DAY}{_TIME}|{_YEAR}[01]\d[0-3]\dT\d{{4,6}}Z?"
        r"|\d{4}-W\d\d(?:-\d)?|\d{2,4}[年년].*|\d{1,2}[月월](?:\d{1,2}[日일]?)?"
        r"|\d{1,4}:\d\d(?::\d\d)?(?:\.\d+)?(?:[ap]m)?"
        rf"|\d{{1,2}}[-./](?:{_MONTH}\.?|{_MONTH_IN_FULL})|(?:{_MONTH}\.?|{_MONTH_IN_FULL})[-./]\d{{2,4}}"
        rf"|\d{{1,4}}[-./]{_MONTH}[^\W\d_]{{0,6}}\.?[-./]\d{{1,4}}(?::.*)?|\d{{1,2}}{_MONTH}{_YEAR}"
    ),
    "a number as spreadsheets write it, such as 1.23E+11": (
        r"[-+]?\d++(?:\.\d*+[ED][-+]?|E[-+])\d++|\d\.\d{3,}[-+]\d{1,3}|[-+]?(?:\d++\.\d*+|\.\d++)[dfm]?"
        r"|[-+]?\d{1,3}(?:\.\d{3})+|\d{1,3}(?:['\u2019]\d{3})+(?:\.\d+)?|\d{1,3}(?:_\d{3}){2,}"
        rf"|[$€£¥]\d[\d.]*|\d[\d.]*[%€$£¥]|[1-9]\d{{14}}0{{3,}}|{_ROUNDED}"
    ),
    "the header of a column": (
        rf"{ID_COLUMN.pattern}|(?:{ID_COLUMN.pattern})(?<=\.)\d{{1,2}}|(?:column|spalte|field|feld|unnamed:)_?\d{{1,2}}"
        rf"|{_GAP}(?:{_OWNER}(?:{_GAP}{_NUMBER})?|c?ids|uuid|guid|name|action|cluster|status){_GAP}"
    ),
    "the last line of a report": r"(?:grand_?|sub_?)?(?:total|sum|summe|count|gesamt|ergebnis|anzahl)s?(?:[:=]\d*)?",
    "several cells or ids in one": (
        rf".*[|¦].*|(?:[0-9a-f]{{32}}){{2,4}}|[0-9a-f]{{32}}(?:{ID_COLUMN.pattern})"
        rf"|(?:{_USUAL})(?:[^\w.-]|--).+|.+(?:[^\w.-]|--)(?:{_USUAL})|(?:{_USUAL})(?:-|\.\.+)(?:{_USUAL})|{_RANGE}"
        rf"|cust(?:omer)?[_-]?id(?:{_USUAL})|[^=]++=(?!=?\Z).+|\d++:[^:]+|{ID_COLUMN.pattern}(?<=:).+"
    ),
    "a spreadsheet formula": r"[-=+@\uff0b\uff0d\uff1d\uff20].*|[^!]+!\$?[a-z]{1,3}\$?\d+",
    "text as programs write it, such as %20, a link or a typographic mark": (
        rf".*(?:[{_BLANK}{_TYPESET}]|{_MISREAD}|\\|://|%[0-9a-f]{{2}}|\(').*|(?:mailto|urn):.*|system\.[\w.\[\]]+"
        r"|\w[\w.]*+[(\[<].*[)\]>]"  # a call of a function
        r"|[0-9a-f\u0430-\u044f]{32}"  # Cyrillic letters look the same as some of the others
    ),
    "marks left over from a text, such as a quotation mark or a dot": (
        rf"(?!{_BASE64}\Z)(?:[{_MARKS}{_POINTS}].*|.*[{_MARKS}{_POINTS}=@]|.*[\"{_BRACKETS}].*|_.*_)"
    ),
}
_USUAL_ID = re.compile(rf"(?!{_ROUNDED}\Z)(?:{_USUAL})", re.IGNORECASE)
# Nothing damaged is like this, which spares most ids the tests one by one: words with digits, and UUIDs.
_PLAIN = re.compile(
    r"(?=[a-z_]*+[0-9])(?!column|spalte|field|feld|cust|_.*_\Z|[0-9]{1,3}_[0-9]{3}_|[0-9]{1,2}[a-z]{3}[12]|[12][0-9]{7}t"
    r"|[1-9][0-9]{14}0{3})[a-z0-9_]{1,31}"
    r"|(?!0{8}-)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    re.IGNORECASE,
)
_KINDS = {f"kind{number}": kind for number, kind in enumerate(_DAMAGED)}
_DAMAGED_ID = re.compile(
    "|".join(f"(?P<{name}>{pattern})" for name, pattern in zip(_KINDS, _DAMAGED.values(), strict=True)), re.IGNORECASE
)


def shape_of(cid: str) -> str:
    """Return what an id looks like that is not of a usual shape: UNUSUAL, or how it is damaged; else nothing."""
    if _USUAL_ID.fullmatch(cid):
        return ""
    if _PLAIN.fullmatch(cid):
        return UNUSUAL
    match = _DAMAGED_ID.fullmatch(cid)
    return f"damaged ({_KINDS[match.lastgroup or '']})" if match else UNUSUAL


def is_damaged(shape: str) -> bool:
    """Tell whether ids of a shape are taken only on somebody's word."""
    return shape not in ("", UNUSUAL)


def has_damaged(cids: Iterable[str]) -> bool:
    """Tell whether any of some ids is taken only on somebody's word."""
    return any(is_damaged(shape_of(cid)) for cid in cids)
