"""Ed25519 signatures (RFC 8032, 5.1) in plain Python: a few milliseconds each, and no library to load.

`cryptography` would be quicker, but its 8 MB stay in the agent's memory for the sake of a signature a day.

The arithmetic takes as long as the numbers are: sign only what its asker may know the length and moment of.
"""

import hashlib
import hmac
from typing import List, Optional, Tuple

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493  # the order of the base point
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)  # of -1

Point = Tuple[int, int, int, int]  # extended coordinates X, Y, Z, T: x = X/Z, y = Y/Z, xy = T/Z
NEUTRAL = (0, 1, 1, 0)


def public(seed: bytes) -> bytes:
    """The public key of a private one; both are 32 bytes."""
    return _packed(_times(_secrets(seed)[0], BASE))


def sign(seed: bytes, data: bytes) -> bytes:
    """The 64 bytes of signature."""
    scalar, prefix = _secrets(seed)
    key = _packed(_times(scalar, BASE))
    nonce = _number(prefix, data) % Q
    point = _packed(_times(nonce, BASE))
    return point + ((nonce + _number(point, key, data) * scalar) % Q).to_bytes(32, "little")


def verify(key: bytes, signature: bytes, data: bytes) -> bool:
    """Whether this is the key's signature of `data`.

    False also for what a strict reader does not take: a point or a number that is not in its one short form, and a key
    or point of small order, which would fit signatures that nobody made.
    """
    if len(key) != 32 or len(signature) != 64:
        return False
    owner, point = _point(key), _point(signature[:32])
    number = int.from_bytes(signature[32:], "little")
    if owner is None or point is None or number >= Q or _is_small(owner) or _is_small(point):
        return False
    share = _number(signature[:32], key, data) % Q
    # [S]B - [k]A, to be R exactly: without the cofactor, as `cryptography` has it.
    found = _sum(_times(number, BASE), _times(share, _negative(owner)))
    return hmac.compare_digest(_packed(found), signature[:32])


def _secrets(seed: bytes) -> Tuple[int, bytes]:
    if len(seed) != 32:
        raise ValueError("a private key has 32 bytes")
    digest = hashlib.sha512(seed).digest()
    return int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254, digest[32:]


def _number(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def _sum(one: Point, other: Point) -> Point:
    """RFC 8032, 5.1.4. It holds for all points, also for one and the same."""
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a = (y1 - x1) * (y2 - x2) % P
    b = (y1 + x1) * (y2 + x2) % P
    c = 2 * t1 * t2 * D % P
    d = 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _double(one: Point) -> Point:
    x, y, z, _ = one
    a, b = x * x % P, y * y % P
    h = a + b
    e = h - (x + y) * (x + y) % P
    g = a - b
    f = 2 * z * z + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(number: int, point: Point) -> Point:
    """Four bits at a time, always a doubling or an addition more: the number's bits choose values, not steps."""
    table: List[Point] = [NEUTRAL]
    for _ in range(15):
        table.append(_sum(table[-1], point))
    found: Point = NEUTRAL
    for at in range(63, -1, -1):
        found = _double(_double(_double(_double(found))))
        found = _sum(found, table[number >> 4 * at & 15])
    return found


def _negative(point: Point) -> Point:
    x, y, z, t = point
    return -x % P, y, z, -t % P


def _is_small(point: Point) -> bool:
    """Whether its order divides 8."""
    x, y, z, _ = _double(_double(_double(point)))
    return x % P == 0 and (y - z) % P == 0


def _packed(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def _point(data: bytes) -> Optional[Point]:
    """RFC 8032, 5.1.3; None when these bytes are no point, or not the one way to write it."""
    number = int.from_bytes(data, "little")
    y, sign_bit = number & (2**255 - 1), number >> 255
    if y >= P:
        return None
    x = _root(y, sign_bit)
    return None if x is None else (x, y, 1, x * y % P)


def _root(y: int, sign_bit: int) -> Optional[int]:
    """The x that belongs to this y on the curve."""
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign_bit):
        return None
    return P - x if x & 1 != sign_bit else x


def _base() -> Point:
    y = 4 * pow(5, P - 2, P) % P
    x = _root(y, 0) or 0
    return x, y, 1, x * y % P


BASE = _base()
