"""What lets others check the audit who hold no key of it: a Merkle tree over its entries, and signed checkpoints.

1. Leaves are the entries as they were signed, with their macs (audit.chain.leaf). The tree is that of RFC 9162: merkle.
2. Its hashes are kept in tiles of 256, which sealing writes: tiles.
3. A checkpoint signs the tree's size and root as a note of C2SP: notes, checkpoints. Its key only signs, and its public
   half is for everybody: signing_key.
4. A witness on another machine takes a new checkpoint only with the proof that it continues the last one: witness.
"""
