"""The list of the New action form: pasted, uploaded, or the text of a file that came back with the form.

No list is ever taken in place of another one:
1. Pasted ids and an uploaded file are refused together: nobody can tell which is meant.
2. The text of a file that came back is still that file as long as nobody changes it, and the page names the file. A
   file that is chosen then replaces it, as the page says.
3. Once it is changed, it is a pasted list, and rule 1 holds.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from setactions.refusal import Refusal
from tmsdash.text import one_line
from tmsdash.tokens import looks_like_token

NAME_LENGTH = 255
KEPT_BYTES = 2 << 20  # of a file that comes back as text, when something else of the form was wrong


@dataclass(frozen=True)
class GivenList:
    """What a list is made of, and the name of the file that it is from, "" if it was pasted."""

    content: bytes
    file_name: str = ""
    is_upload: bool = False

    @property
    def as_text(self) -> str | None:
        """The content of an upload as text for the form; None if it is none, too long, or was not uploaded."""
        if not self.is_upload or len(self.content) > KEPT_BYTES or b"\0" in self.content:
            return None
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return None


def given_list(text: str, upload: Any, file_name: str, digest: str) -> GivenList:
    """Return the list that is meant; raises Refusal (400) if that is not clear.

    `file_name` and `digest` came back with the text of a file, see `digest_of`; both are "" for other texts.
    """
    is_of_file = bool(file_name) and digest == digest_of(text)
    if not upload:
        return GivenList(text.encode(errors="surrogatepass"), shown_name(file_name) if is_of_file else "")
    if text.strip() and not is_of_file:
        what = "Either paste the ids or upload a file, not both."
        raise Refusal(400, "csv_file", f"{what} Empty the field Customer IDs, or do not choose a file.")
    return GivenList(upload.read(), shown_name(upload.name), is_upload=True)


def digest_of(text: str) -> str:
    """Return what tells whether somebody changed the text of a file in its field, which has line ends of its own."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    return hashlib.sha256(lines.encode(errors="surrogatepass")).hexdigest()


def shown_name(file_name: str) -> str:
    """Return the name of a file for pages and the batch; "" if it looks like a token."""
    return "" if looks_like_token(file_name) else one_line(file_name, NAME_LENGTH)
