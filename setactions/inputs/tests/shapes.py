"""Ids of many shapes: what each looks like. None of them holds what no id may hold, such as a blank or a comma."""

A, B = "0123456789abcdef" * 2, "1234567"

USUAL = (A, A.upper(), B, "0000000", "12" * 16, "0" * 30 + "12", "1234567e" * 4)

MERELY_UNUSUAL = rf"""
    alpha2_sub_515 beta7sub04 kundin_12_eu alpha-1 abc-def-012 a1 x one kündin-ß 客户 it's a+b YWxwaGE= alpha_ _alpha
    7 12345 0012345678 1234567890123450 20251112 123-456 123_456 1234567-01 1234567.eu a.b.c user@host 0x1f
    73928e05 1e5 12E34 9E99 {A[:31]} {A}0 550e8400-e29b-41d4-a716-446655440000 mar1 MARCH1 may dec12 1dec12 odd-12
    nullarbor none_1 nanette nato noname info truest falsehood totally sum_7 idaho id7 cid_7 customer7 cust-12
    10-20-30-40 00-11-22-33-44-55 00:1a:2b:3c:4d:5e 88-81-3441-7117 8235-71-84 99-99-99 2025-11-12-acme 2025-01-pilot
    10.0.0.1 192.168.1.17 1.2.3 v1.2.3 1234-5678 1234567-1234 9-11 24_7 col_766 7-eleven 12-monkeys 11-marriott 20251399
    cust_01 customer_17 CID000123 id_0001 onward offset
    test_customer names acid color7 fieldwork9 nothing
""".split()

_TEXTS = {
    "an error of a spreadsheet, such as #N/A": """
        #N/A #REF! #NAME? #VALUE! #DIV/0! #NULL! #NUM! #SPILL! #CALC! #BLOCKED! #GETTING_DATA #ERROR! #n/a ####
        #NV #BEZUG! #WERT! #ÜBERLAUF! #¡REF! #¿NOMBRE? #ССЫЛКА! #ДЕЛ/0! #値! Err:502 Error:508 #Kunde
    """,
    "a missing value, such as NULL or nan": r"""
        NULL null none None nan NaN -nan +nan -nan(ind) n/a N/A NA n.a. NaT undefined (null) [NULL] <null> <NA> {null}
        \N inf -inf Infinity 1.#INF nil DBNull unknown missing (blank) TBD leer nulo not_found NotAvailable no_data
        nullptr 00000000-0000-0000-0000-000000000000
    """,
    "a truth value, such as TRUE": "TRUE FALSE true WAHR FALSCH VRAI FAUX VERDADERO FALSO ИСТИНА yes No ja on OFF",
    "no letter and no digit": r"- -- ----- ... … ? *** _ +-----+ <> € \ '' []",
    "a date or a time": """
        12/11/2025 1/2/25 12/11 2025/11/12 2025-11-12 2025-1-2 2025-11-12T10:00:00Z 2025-11-12_10:00 12.11.2025
        2025.11.12 12-11-2025 12-Nov-25 12-Nov-2025 1-Mar 01.Mär Nov-25 12.Dezember.2025 15/mars/2025 2025-W46
        2025年11月12日 12月11日 12Nov2025 2-mars 3.November November-25 12.дек 20251112T103000Z 1900-01-00
        12/Nov/2025:10:30:00 2025-11-12-10.30.00.000 10-20-30 10:30 10:30:00 00:00.0 9:05am 100:00:00
    """,
    "a number as spreadsheets write it, such as 1.23E+11": """
        1.23E+11 7.39E+12 1E+05 1e-7 1.23e11 7.E+3 -7.39E+12 2.00E+00 123.0 73928.0 45973.41667 0.5 .5 12. -1.5
        1.234.567 1234567.0f 1.23457+31 1.23457D+31 1_234_567 12345678901234600000000000000000
        12345678901234567000000000000000 1'234'567 1’234’567 $123 12% 50€ 123456789012345000 12345678901234500000
    """,
    "the header of a column": """
        customer_id CustomerID customer-id CUST_ID cid id ID cids ids Customer Kunde Kundennummer kunden_nr client_id
        account-no tenant_uuid customer_name name cluster action customer_id: [customer_id] customer_id.1 Column1
        Spalte_2 Field12 unnamed:0
    """,
    "the last line of a report": "Total total:25 Total: Summe count=7 Subtotal grand_total Gesamt",
    "several cells or ids in one": rf"""
        123|456 a|b|c {A}|x {B}|{B} a¦b {B}/7654321 {A}:active {A}->{A} cid={A} {A}{A} {A}customer_id {B}#old {B}//old
        {B}--old {B}(old) {A}\t{B} {B}-7654321 {A}-{A} 10001-10010 {B}..7654321 customer_id{B} 1:alpha2_sub_515
        cid=alpha2_sub_515 a=b Row(id=123) id:alpha2_sub_515
    """,
    "a spreadsheet formula": """=A1 +A1 @SUM -abc =HYPERLINK("x") ＝1 ＋1 －1 ＠x =1+1 -3 Sheet1!A1 ="0012345" """,
    "text as programs write it, such as %20, a link or a typographic mark": rf"""
        ab%20c https://tms.example/x mailto:x “abc” ’abc a–b ab… ﬁnch a\nb C:\x a\ ObjectId('x') System.Object[] ï»¿abc
        kÃ¼ndin urn:uuid:550e8400-e29b-41d4-a716-446655440000 foo(1) NumberLong({B}) np.int64({B}) array([{B}])
        Some(a1) ✅alpha2_sub_515 alpha2_sub_515✓ a1🚀 a→b a1™
        a{chr(0xFFFD)}b a{chr(0xFE0F)}1 a{chr(0x3164)}b a{chr(0x2800)}b １２３４５６７ {A[:31]}{chr(0x430)}
    """,
    "marks left over from a text, such as a quotation mark or a dot": """
        "a1" a1" "a1 'x ''x a1' `a1` «a1» ["a1" a1"] (a1) {a1} <a1> a1) (a1 a1: a1. .a1 a1... a1! *a1 •a1 a1* $id %id%
        &a1 ~a1 [object _1234567_ __a1__ a(1
    """,
}
DAMAGED_IDS = {what: text.split() for what, text in _TEXTS.items()}
