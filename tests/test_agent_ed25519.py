"""The agent's own Ed25519 against RFC 8032 and `cryptography`, and what a strict reader must not take."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.agents.program import base64url, ed25519

# RFC 8032, 7.1: secret key, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]


@pytest.mark.parametrize(("seed", "key", "data", "signature"), VECTORS)
def test_the_vectors_of_rfc_8032(seed: str, key: str, data: str, signature: str) -> None:
    assert ed25519.public(bytes.fromhex(seed)).hex() == key
    assert ed25519.sign(bytes.fromhex(seed), bytes.fromhex(data)).hex() == signature
    assert ed25519.verify(bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(data))


@settings(max_examples=60)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_both_ways_with_cryptography(seed: bytes, data: bytes) -> None:
    theirs = Ed25519PrivateKey.from_private_bytes(seed)
    key = theirs.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert ed25519.public(seed) == key
    assert ed25519.sign(seed, data) == theirs.sign(data)
    assert ed25519.verify(key, theirs.sign(data), data)


@settings(max_examples=60)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=60), st.integers(0, 95), st.integers(1, 255))
def test_an_altered_byte_is_never_taken_and_cryptography_agrees(seed: bytes, data: bytes, at: int, turn: int) -> None:
    whole = bytearray(ed25519.sign(seed, data) + ed25519.public(seed))
    whole[at] ^= turn
    signature, key = bytes(whole[:64]), bytes(whole[64:])
    assert not ed25519.verify(key, signature, data)
    with pytest.raises((InvalidSignature, ValueError)):
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)


@settings(max_examples=100)
@given(st.binary(max_size=40), st.binary(max_size=70), st.binary(max_size=20))
def test_no_bytes_break_it(key: bytes, signature: bytes, data: bytes) -> None:
    assert not ed25519.verify(key, signature, data)
    assert not ed25519.verify(key.ljust(32, b"\0")[:32], signature.ljust(64, b"\0")[:64], data)


def test_the_same_signature_with_a_longer_number_is_not_taken() -> None:
    seed, data = bytes(32), b"data"
    signature = ed25519.sign(seed, data)
    longer = int.from_bytes(signature[32:], "little") + ed25519.Q
    assert longer < 2**256
    assert not ed25519.verify(ed25519.public(seed), signature[:32] + longer.to_bytes(32, "little"), data)


# Points whose order divides 8: of 1, 2, 4, and two of 8, and other ways to write the first two.
SMALL = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("point", SMALL)
def test_a_key_or_point_of_small_order_signs_nothing(point: str) -> None:
    small = bytes.fromhex(point)
    for number in range(8):
        signature = small + number.to_bytes(32, "little")
        assert not any(ed25519.verify(small, signature, bytes([data])) for data in range(8))
    assert not ed25519.verify(ed25519.public(bytes(32)), small + bytes(32), b"")


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ed25519.sign(b"short", b"")


@given(st.binary(max_size=80))
def test_binary_values_come_back_from_json(data: bytes) -> None:
    assert base64url.decode(base64url.encode(data)) == data


@given(st.text(max_size=50) | st.none() | st.integers())
def test_what_is_not_base64url_is_no_bytes_or_some(text: object) -> None:
    assert isinstance(base64url.decode(text), bytes)
