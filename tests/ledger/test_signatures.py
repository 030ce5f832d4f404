"""The verifier's own Ed25519 (RFC 8032) against the vectors of the RFC and against `cryptography`."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.ledger.verify import signature_holds

# RFC 8032 section 7.1: secret key, public key, message, signature
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
        "655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
        "b00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
        "c027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e"
        "2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17a"
        "d9bef1177331a704",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_vectors_of_the_rfc(secret, public, message, signature):
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    assert key.public_key().public_bytes_raw().hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert signature_holds(public, bytes.fromhex(message), signature)
    assert not signature_holds(public, bytes.fromhex(message) + b"x", signature)


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=80), flip=st.integers(0, 511))
@settings(max_examples=40, deadline=None)
def test_agrees_with_cryptography(seed, message, flip):
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert signature_holds(public.hex(), message, signature.hex())
    changed = bytearray(signature)
    changed[flip // 8] ^= 1 << (flip % 8)
    assert not signature_holds(public.hex(), message, changed.hex())
    assert not openssl(public, message, bytes(changed))
    other = bytearray(public)
    other[flip // 16] ^= 1 << (flip % 8)
    assert not signature_holds(bytes(other).hex(), message, signature.hex())


def openssl(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_a_signature_cannot_be_respelled():
    """S + L is the same number modulo L; RFC 8032 section 5.1.7 refuses it."""
    _, public, message, signature = VECTORS[1]
    raw = bytes.fromhex(signature)
    larger = (int.from_bytes(raw[32:], "little") + ORDER).to_bytes(32, "little")
    assert not signature_holds(public, bytes.fromhex(message), (raw[:32] + larger).hex())


@pytest.mark.parametrize(
    "public",
    [
        "01" + "00" * 31,  # the neutral element: would sign everything
        "ec" + "ff" * 30 + "7f",  # order 2
        "ee" + "ff" * 30 + "7f",  # y = p + 1: not the one spelling of y = 1
        "02" + "00" * 31,  # not on the curve
        "01" + "00" * 30 + "80",  # x = 0 with the sign bit set
        "00" * 31,
    ],
)
def test_keys_that_are_none(public):
    assert not signature_holds(public, b"", "01" + "00" * 63)
