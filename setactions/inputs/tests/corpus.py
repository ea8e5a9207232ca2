"""Lists of many kinds, each with the ids that are in it, or with what is wrong with it."""

import gzip
import io
import zipfile

A, B, C = "0123456789abcdef" * 2, "1" * 32, "ab" * 16
D, E = "1234567", "0012345"

# Name: content, and the ids.
GOOD = {
    "one word without digits": ("one\n", ("one",)),
    "a header": (f"customer_id\n{A}\n{B}\n{C}\n", (A, B, C)),
    "a mark in front and Windows' line ends": (f"\ufeffCustomer_ID\r\n{A}\r\n{B}", (A, B)),
    "line ends of an old Mac": (f"cust_id\r{A}\r{B}\r", (A, B)),
    "mixed line ends": (f"cid\r\n{A}\r{B}\n{C}\r\n", (A, B, C)),
    "blank lines": (f"\n\nid\n\n{A}\n  \n{B}\n,\n\n", (A, B)),
    "semicolons": (f"id;name\n{A};x\n{B};y, z\n", (A, B)),
    "tabs": (f"name\tid\nx\t{A}\ny\t{B}\n", (A, B)),
    "pipes": (f"name|customer_id|note\nx|{A}|1\ny|{B}|\n", (A, B)),
    "quoted cells": (f'"name","id"\n"x, y","{A}"\n"say ""hi""","{B}"\n', (A, B)),
    "only the id is quoted": (f'"{A}"\n"{B}"\n', (A, B)),
    "a header with a blank": (f"Customer ID\n{A}\n", (A,)),
    "a header with a dash": (f"customer-id,x\n{A},\n", (A,)),
    "a header in capitals": (f"CUSTOMERID\n{A}\n", (A,)),
    "a header in camel case": (f"customerId;Name\n{A};x\n", (A,)),
    "a short header with a blank": (f" cust id ,x\n{A},1\n", (A,)),
    "a header with blanks that cannot be seen": (f"x,Customer\u00a0ID\u200b\n1,{A}\n", (A,)),
    "a mark that other cells hold more of": (f"last name, first, middle;id\na, b, c;{A}\n", (A,)),
    "sep with semicolons": (f"sep=;\r\nname;id\r\nx, y;{A}\r\nz;{B}\r\n", (A, B)),
    "sep with tabs": (f"sep=\t\nid\tname\n{A}\tx\n", (A,)),
    "sep in quotation marks": (f'"sep=,"\nid,name\n{A},x;y\n', (A,)),
    "sep of an unusual mark": (f"SEP=^\nid^name\n{A}^x,y\n", (A,)),
    "sep above a bare column": (f"sep=;\n{A}\n{B}\n", (A, B)),
    "a bare column": (f"{A}\n{B}\n{D}", (A, B, D)),
    "a bare column that begins without digits": (f"{C}\n{A}\n", (C, A)),
    "a bare column with separators behind": (f"{A},\n{B},\n", (A, B)),
    "one line with commas": (f"{A},{B}, {C}", (A, B, C)),
    "one line with semicolons": (f"{A};{B};\n", (A, B)),
    "one line with several separators": (f"{A},{B};{C}\t{D}\n", (A, B, C, D)),
    "one line with blanks": (f"{A} {B}  {D}\n", (A, B, D)),
    "one line with blanks and several shapes": (
        f"{D} alpha2_sub_515 {A} {'12' * 16} 1234567e zz-test\n",
        (D, "alpha2_sub_515", A, "12" * 16, "1234567e", "zz-test"),
    ),
    "one line with commas and several shapes": (f"{D}, a1, b-2, zz-test\n", (D, "a1", "b-2", "zz-test")),
    "quotation marks behind blanks": (f'"name", "id"\n"x, y", "{A}"\n', (A,)),
    "one line with quotation marks": (f'"{A}", "{B}"\n', (A, B)),
    "one line for a database": (f"'{A}', '{D}','{E}'\n", (A, D, E)),
    "lines for a database": (f"'{A}',\n'{D}',\n'x'\n", (A, D, "x")),
    "a header in brackets": (f"[customer_id]\n{A}\n", (A,)),
    "a header that asks": (f"Customer ID?*;x\n{A};1\n", (A,)),
    "a column without a name": (f",id,\n{D},{A},\n", (A,)),
    "a note that is like a header beside an id without digits": (f"id,note\n{C},ID\n", (C,)),
    "blanks around ids": (f"id,x\n {A} ,1\n\u00a0{B}\u00a0,2\n", (A, B)),
    "words": ("alpha\nbeta\n", ("alpha", "beta")),
    "words and numbers": ("alpha\nbeta\ngamma7\n", ("alpha", "beta", "gamma7")),
    "ids beyond ASCII": ("id\nkündin-ß\n客户\n", ("kündin-ß", "客户")),
    "repeats": (f"{A}\n{B}\n{A}\n{A}\n", (A, B)),
    "only the case differs": (f"{C}\n{C.upper()}\n", (C, C.upper())),
    "leading zeros": (f"id\n{E}\n'0012346\n'{D}\n", (E, "0012346", D)),
    "all protected": (f"id\n'{A}\n'{C}\n", (A, C)),
    "protected whatever they are": ("id\n'alpha2_sub_515\n'beta\n'7\n", ("alpha2_sub_515", "beta", "7")),
    "an apostrophe that is part of the id": ("id\nit's\n", ("it's",)),
    "the action of the command line": (f"id,action\n{A},PE-Enable\n{B},pe-enable\n{C},\n", (A, B, C)),
    "the cluster by name": (f"Cluster;id\nevian3;{A}\n;{B}\n", (A, B)),
    "empty cells to the right": (f"id,name,,\n{A},x,,\n{B},y\n{C},,,\n", (A, B, C)),
    "an empty cell too many beside the only column": (f"id\n{A},\n{B},,\n", (A, B)),
    "a note with a line break": (f'id,note\n{A},"call back,\nplease, or write"\n{B},"12\n13"\n', (A, B)),
    "a note with a line break before the id": (f'note,id\n"call\nback",{A}\n"on the 3rd,\nor 4th",{B}\n', (A, B)),
    "a note with a blank line": (f'id,note,x\n{A},"\n\n",1\n{B},,\n', (A, B)),
    "a quotation mark within a cell": (f'id,note\n{A},5" pipe\n{B},6"\n', (A, B)),
    "a token's column": (f"id,job_id,attempt_id,idx\n{A},1,2,3\n", (A,)),
    "a quoted line break in the header": (f'"customer\nid",x\n{A},1\n', (A,)),
}

_NONE = "The list is empty. Give at least one customer id."
_COLUMNS = "Line 1: There are several columns, and the first line"
_UNKNOWN = "Line 1: This header"
_SHORT, _LONG = "The row has fewer cells than the first line", "The row has more cells than the first line"
_OTHER = _LONG
_LATE = "This is a header, but it is not the first line"
_MISSING = "The customer id is missing"
_ALIKE = "Line 1: Not everything in this line looks like an id"
_DAMAGED = "The id looks damaged"
_QUOTED = "A cell in quotation marks begins here, but line"

# Name: content, and how each of the errors begins.
BAD = {
    "empty": ("", [_NONE]),
    "only a mark": ("\ufeff", [_NONE]),
    "only blank lines": ("\n \r\n\t\n", [_NONE]),
    "only separators": (";;;\n,,\n", [_NONE]),
    "only sep": ("sep=;\n", [_NONE]),
    "only a header": ("customer_id\r\n", ["The list has a header and nothing below it"]),
    "only a header of several": ("customer_id,name\n\n", ["The list has a header and nothing below it"]),
    "an unquoted comma": (
        f"name,customer_id,contract\nx,{A},{D}\ny, z,{B},7654321\nw,{C},{D}\n",
        [f"Line 3: {_LONG}"],
    ),
    "an unquoted comma beside an empty cell": (
        f"name,contract,customer_id,note\ny, z,{D},{A},\nw,1,{B},\n",
        [f"Line 2: {_LONG}"],
    ),
    "a row cut short": (f"name,customer_id\nx,{A}\ny\n", [f"Line 3: {_SHORT}"]),
    "the last row cut short": (f"customer_id,name,note\n{A},x,y\n{B},x", [f"Line 3: {_SHORT}"]),
    "an empty id": (f"customer_id,name\n{A},x\n,y\n  ,z\n", [f"Lines 3 and 4: {_MISSING}"]),
    "an unknown header": (f"Kunde\n{A}\n{B}\n", [f"{_UNKNOWN} (Kunde) is not known"]),
    "an unknown header of two words": (f"Kunden-Nr. (neu)\n{D}\n", [f"{_UNKNOWN} (Kunden-Nr. (neu)) is not known"]),
    "an unknown header above a word": (f"Kunde\nalpha\n{A}\n{B}\n", [_UNKNOWN]),
    "an unknown header alone": ("Kunde\n", [f"{_UNKNOWN} (Kunde) is not known"]),
    "an unknown header above an id without digits": (f"Kunde\n{C}\n", [f"{_UNKNOWN} (Kunde) is not known"]),
    "an unknown header with marks": (f"*Kunde [neu]\n{A}\n", [f"{_UNKNOWN} (*Kunde [neu]) is not known"]),
    "an id in the header": (f"customer_id,{A}\n{B},\n", ["Line 1: This is a header, but it holds an id, too"]),
    "only a header with ids": (f"customer_id,{A},{B}\n", ["Line 1: This is a header, but it holds an id, too"]),
    "several lines of several ids": (f"{A},{B},\n{C},{D}\n", [_COLUMNS]),
    "a header above lines of several ids": (f"id\n{A},{B}\n{C}\n", [f"Line 2: {_LONG}"]),
    "several lines of ids between blanks": (f"{A} {B}\n{C}\n", ["Line 1: The customer id holds space (U+0020)"]),
    "a number with blanks": ("7 392 801\n", ["Line 1: This line looks like one number with marks"]),
    "a number with commas": ("1,000,003\n", ["Line 1: This line looks like one number with marks"]),
    "numbers with commas": ("1,000,003\n1,000,053\n", [_COLUMNS]),
    "a note between blanks": ("Please enable: 1000003 1000053\n", [_ALIKE]),
    "a note of joined words": ("follow-up well-known\n", [_ALIKE]),
    "a long line of words": (f"{'one two ' * 40}\n", [_ALIKE]),
    "a counted id": (f"   1 {D}\n", [_ALIKE]),
    "a note beside an id": (f"{A}, follow-up\n", [_ALIKE]),
    "an action among ids": (f"{A}, {B}, {C}, pe-enable\n", [_ALIKE]),
    "a number as the header": (f"0\n{A}\n{B}\n", [f"{_UNKNOWN} (0) is not known"]),
    "a header of customers": (f"Customer\n{A}\n", [f"{_UNKNOWN} (Customer) is not known"]),
    "a header with a number": (f"Column1\n{A}\n", [f"{_UNKNOWN} (Column1) is not known"]),
    "a header above names": ("name\nalice\nbob\n", [f"{_UNKNOWN} (name) is not known"]),
    "the end mark of a DOS file": (
        f"{A}\n{D}\n\x1a",
        ["Line 3: The customer id holds the end mark of a DOS file, Ctrl-Z (U+001A)"],
    ),
    "line ends of a word processor": (
        f"{A}\u2028{B}\u2028{C}\u2028{D}\u2028{A}\n",
        ["Line 1: The customer id holds line separator (U+2028)"],
    ),
    "an unknown cluster": (f"id,cluster\n{A},evian3\n{B},evian4\n", ["Line 3: This cluster is not known"]),
    "an unknown action": (f"id,action\n{A},Explode\n", ["Line 2: This action is not known"]),
    "an unknown header and a bad line": (
        f"Kunde\n{A}\nx y\n",
        [_UNKNOWN, "Line 3: The customer id holds space (U+0020)"],
    ),
    "unknown headers": (f"Kunde;Name\n{A};x\n{B};y\n", [f"{_COLUMNS} (Kunde, Name) does not say"]),
    "no header": (f"{A},x\n{B},y\n", [_COLUMNS]),
    "no header, action beside": (f"{A};PE-Enable\n{B};PE-Enable\n", [_COLUMNS]),
    "no header, numbers beside": (f"{A},{D}\n{B},{E}\n", [_COLUMNS]),
    "no header, cut short": (f"{D},{E}\n{D}\n", [_COLUMNS]),
    "one row without a header": (f"{A},x\n", [_ALIKE]),
    "one row with its action": (f"{A};PE-Enable\n", [_ALIKE]),
    "one row with its cluster": (f"{A};evian3\n", [_ALIKE]),
    "a second column begun late": (f"{A}\n{B},x\n", [f"Line 2: {_OTHER}"]),
    "an id in another column": (f"{A},\n,{B}\n", [f"Line 2: {_OTHER}"]),
    "two columns of ids": (
        f"id,Customer ID\n{A},{B}\n",
        ["Line 1: Several columns could hold the ids: id, Customer ID."],
    ),
    "an export of a database": (f"_id,customer_id\n1,{A}\n", ["Line 1: Several columns could hold the ids: _id, cust"]),
    "the action twice": (f"id,action,Action\n{A},,\n", ["Line 1: The header names a column twice"]),
    "a second header": (f"id,name\n{A},x\ncust-id,Name\n{B},y\n", [f"Line 3: {_LATE}"]),
    "a second header in another order": (f"id,name\n{A},x\nname,id\ny,{B}\n", [f"Line 3: {_LATE}"]),
    "a second header of a bare column": (f"{A}\n{B}\n\ufeffcustomer_id\n{C}\n", [f"Line 3: {_LATE}"]),
    "a title above the header": (f"All of them,\nid,name\n{A},x\n", [f"Line 2: {_LATE}"]),
    "a second sep": (f"sep=;\n{A}\nsep=;\n{B}\n", [f"Line 3: {_LATE}"]),
    "sep of nothing": (f"sep=\n{A}\n", ["Line 1: The line sep= names nothing"]),
    "stray quotation marks": (
        f'id,note\n{A},"x\n{B},y\n{C},z"\n{D},w\n',
        [f"Line 2: {_QUOTED} 3 within it"],
    ),
    "stray quotation marks below an empty name": (
        f'id,note,\n{A},"x\n{B},y\n{C},z"\n',
        [f"Line 2: {_QUOTED} 3 within it"],
    ),
    "stray quotation marks of two rows": (f'id,note\n{A},"x\n{B},y"\n', [f"Line 2: {_QUOTED} 3 within it"]),
    "stray quotation marks before the id": (f'note,id\n"x,{A}\ny",{B}\n', [f"Line 2: {_QUOTED} 2 within it"]),
    "stray quotation marks in the middle": (
        f'x,note,id\n1,"a,{A}\n2,b",{B}\n',
        [f"Line 2: {_QUOTED} 2 within it"],
    ),
    "stray quotation marks between columns": (
        f'id;note;city\n{A};"x;y\n{B};z";v\n{C};;\n',
        [f"Line 2: {_QUOTED} 3 within it"],
    ),
    "stray quotation marks around ids": (f'{A}\n"{B}\n{C}"\n{D}\n', [f"Line 2: {_QUOTED} 2 within it"]),
    "stray quotation marks in the header": (f'id,"note\n{A},x"\n{B},y\n', [f"Line 1: {_QUOTED} 2 within it"]),
    "NUL": (f"id\n{A}\n12\0004\n", ["Line 3: The file is not text: there is a NUL"]),
    "a quotation mark without an end": (f'id\n{A}\n"{B}\n{C}\n', ["Line 3: A quotation mark is opened here"]),
    "text after a quotation mark": (f'id\n"{A}"x\nx y\n', ["Line 2: A quotation mark is closed in line 2", "Line 3"]),
    "a space inside": (f"{A}\n12 34\n", ["Line 2: The customer id holds space (U+0020)"]),
    "a no-break space inside": (f"id\n12\u00a034\n{A}", ["Line 2: The customer id holds no-break space (U+00A0)"]),
    "a zero-width space": (f"id\n{A}\u200b\n", ["Line 2: The customer id holds zero width space (U+200B)"]),
    "reversed writing": (f"{A}\n\u202e{B}\n", ["Line 2: The customer id holds right-to-left override (U+202E)"]),
    "a line end inside": ('id\n"x\ny"\n', ["Line 2: A cell in quotation marks begins here"]),
    "a separator inside": (f'id,x\n"{A};{B}",1\n', ["Line 2: The customer id holds semicolon (U+003B)"]),
    "an escape sequence": ("id\n\x1b[31m\n", ["Line 2: The customer id holds a control character (U+001B)"]),
    "too long an id": (f"id\n{'7' * 129}\n", ["Line 2: A customer id has 1 to 128 characters, not 129"]),
    "a token": (f"{A}\neyJhbGciOi.eyJzdWIiOi.c2lnbmF0\n", ["Line 2: This looks like a bearer token"]),
    "only repeats": (f"id\n{A}\n{A}\n{A}\n", ["Line 2: The list holds one customer 3 times, and no other"]),
    "repeats and something else": (f"{A}\n{A}\nx y\n", ["Line 3: The customer id holds space (U+0020)"]),
    "everything at once": (
        f"id,name\n{A}\n,x\n{B},y,z\nx y,\nid,name\n",
        [f"Line 2: {_SHORT}", f"Line 3: {_MISSING}", f"Line 4: {_LONG}", "Line 5: The customer id", f"Line 6: {_LATE}"],
    ),
    "a table of psql": (
        f" customer_id \n-------------\n {A}\n {B}\n(2 rows)\n",
        [f"Line 2: {_DAMAGED} (no letter and no digit)", "Line 5: The customer id holds space (U+0020)"],
    ),
    "a table of mysql": (
        f"+----+\n| id |\n+----+\n| {A} |\n+----+\n1 row in set (0.00 sec)\n",
        [
            f"Lines 1, 3 and 5: {_DAMAGED} (no letter and no digit)",
            "Lines 2, 4 and 6: The customer id holds space (U+0020)",
        ],
    ),
    "a table of Markdown": (
        f"| customer_id | note |\n|---|---|\n| {A} | x |\n",
        [f"Line 2: {_DAMAGED} (no letter and no digit)"],
    ),
    "a line of totals": (f"id,number\n{A},1\nTotal,1\n", [f"Line 3: {_DAMAGED} (the last line of a report)"]),
    "no header, pipes": (f"{A}|x\n{B}|y\n", [f"Lines 1 and 2: {_DAMAGED} (several cells or ids in one)"]),
    "damaged ids": (
        f"id\n{A}\n1.23E+11\n#N/A\n2.5E+07\n",
        [f"Lines 3 and 5: {_DAMAGED} (a number as", f"Line 4: {_DAMAGED} (an error of a spreadsheet, such as #N/A)"],
    ),
    "protected formulas": ("id\n'=1\n'@x\n", [f"Lines 2 and 3: {_DAMAGED} (a spreadsheet formula)"]),
    "one damaged id": ("#N/A\n", [f"Line 1: {_DAMAGED} (an error"]),
    "one line of damaged ids": (
        "1.5E+3, 12/11/2025, 1.5E+4, b2\n",
        [f"Line 1 (2 times): {_DAMAGED} (a number", f"Line 1: {_DAMAGED} (a date"],
    ),
    "files without a line end put together": (f"{A}\n{B}{C}\n{D}\n", [f"Line 2: {_DAMAGED} (several cells or ids"]),
    "a long cell": (
        f"id,x\n{A},{'x' * 200_000}\n,y\n",
        ["Line 2: A cell is longer than 131,072", f"Line 3: {_MISSING}"],
    ),
    "a long quoted cell": (f'id,x\n{A},"' + "x\n" * 100_000, ["Line 2: A quotation mark is opened here"]),
    "a long line": ("id\n" + "7" * 1_100_000, ["Line 2: The line is longer than 1,048,576 characters"]),
}

_ARCHIVE = io.BytesIO()
with zipfile.ZipFile(_ARCHIVE, "w") as archive:
    archive.writestr("fleet.csv", A)

# What no page of ours can paste.
BAD_BYTES = {
    "UTF-16": (f"id\n{A}\n".encode("utf-16"), ["The file is UTF-16 text, not CSV. Save it as CSV UTF-8."]),
    "UTF-32": (f"id\n{A}\n".encode("utf-32"), ["The file is UTF-32 text, not CSV. Save it as CSV UTF-8."]),
    "UTF-16 without a mark": (f"id\n{A}\n".encode("utf-16-le"), ["Line 1: The file is not text: there is a NUL"]),
    "Windows' characters": (f"id,x\n{A},M\xfcller\n,y\n".encode("cp1252"), ["Line 2: The line is not UTF-8", "Line 3"]),
    "a workbook": (b"PK\x03\x04\x14\0\x06\0", ["The file is a workbook or an archive, not CSV"]),
    "an archive": (_ARCHIVE.getvalue(), ["The file is a workbook or an archive, not CSV"]),
    "compressed": (gzip.compress(A.encode()), ["The file is compressed, not CSV"]),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3", ["The file is a PDF document, not CSV"]),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), ["The file is a workbook in an old format"]),
    "binary": (bytes(range(128, 256)) * 40 + b"\0", ["Line 1: The file is not text"]),
}
