"""The head of the chain as the database stores it: SQLite keeps whatever somebody wrote there, numbers or not."""

from audit.models import ChainHead
from audit.proof.stored import rows_of

NO_NUMBER = -1  # that no entry has
_QUERY = "SELECT sequence, mac, key_id, signature FROM audit_chainhead WHERE id = 1"


def stored_head() -> ChainHead | None:
    """Return the head with a number and texts, whatever is stored in their place; what was none fits no signature.

    None if there is none. Raises DatabaseError.
    """
    for sequence, *texts in rows_of(_QUERY):
        mac, key_id, signature = map(str, texts)
        if type(sequence) is not int or not all(isinstance(text, str) for text in texts):
            sequence, signature = NO_NUMBER, ""
        return ChainHead(pk=1, sequence=sequence, mac=mac, key_id=key_id, signature=signature)
    return None


def are_others() -> bool:
    """Tell whether there are further heads, which the product neither makes nor reads."""
    return ChainHead.objects.exclude(pk=1).exists()
