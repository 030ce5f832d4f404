"""People, tokens, links and sessions."""

from __future__ import annotations

import hashlib
import threading
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell import db
from keepwell.core.errors import InvalidInput, KeepwellError, NotFound, Unauthenticated
from keepwell.flows.kit import Kit
from keepwell.governance import identity
from keepwell.governance import identity_rules as rules
from keepwell.ledger import service as ledger

ADA = "person:ada"


def owner(kit: Kit) -> None:
    with db.write(kit.db) as tx:
        identity.ensure_owner(tx, kit.call(ADA))


def kinds(kit: Kit) -> list[str]:
    with db.read(kit.db) as tx:
        return [entry.kind for entry in reversed(ledger.entries(tx, kind="identity."))]


def stored_bytes(kit: Kit) -> bytes:
    return b"".join(file.read_bytes() for file in kit.home.rglob("*") if file.is_file())


# -------------------------------------------------------------------------------------------------------------- rules


@given(st.sampled_from(["api", "session", "link"]), st.binary(min_size=32, max_size=32))
def test_a_secret_is_read_back_as_its_own_kind_only(kind: Any, randomness: bytes) -> None:
    secret = rules.secret_text(kind, randomness)
    assert len(secret) == 47
    assert rules.secret_digest(kind, secret) == hashlib.sha256(secret.encode()).hexdigest()
    for other in {"api", "session", "link"} - {kind}:
        with pytest.raises(Unauthenticated):
            rules.secret_digest(other, secret)  # type: ignore[arg-type]


@given(st.text(max_size=60))
def test_any_other_text_is_no_secret_and_is_not_repeated(text: str) -> None:
    said = set()
    for secret in (text, "no secret"):
        with pytest.raises(Unauthenticated) as told:
            rules.secret_digest("api", secret)
        said.add(told.value.message)
    assert len(said) == 1


def test_a_secret_has_256_bits() -> None:
    with pytest.raises(InvalidInput):
        rules.secret_text("api", b"short")


def test_an_owner_may_do_everything_that_is_declared_and_nothing_else() -> None:
    everyone = rules.Principal(ADA, "ada", "owner", "session")
    reader = rules.Principal(ADA, "ada", "owner", "token", read_only=True)
    stranger = rules.Principal(ADA, "ada", "guest", "token")  # type: ignore[arg-type]
    for permission in rules.PERMISSIONS:
        assert rules.may(everyone, permission)
        assert rules.may(reader, permission) is (permission.endswith(".read") or permission == "session.end")
        assert not rules.may(stranger, permission)
    for who in (everyone, reader, stranger):
        assert not rules.may(who, "everything")
        with pytest.raises(KeepwellError):
            rules.demand(who, "everything")


# ------------------------------------------------------------------------------------------------------------ service


def test_the_first_person_owns_the_house_and_others_are_not_known(kit: Kit) -> None:
    with db.write(kit.db) as tx:
        first = identity.ensure_owner(tx, kit.call(ADA))
        assert identity.ensure_owner(tx, kit.call(ADA)) == first
        with pytest.raises(Unauthenticated):
            identity.ensure_owner(tx, kit.call("person:eve"))
        for actor in ("service:x", "loop:y", "person:", "person:..", "ada", "person:123"):
            with pytest.raises(KeepwellError):
                identity.ensure_owner(tx, kit.call(actor))
    assert kinds(kit) == ["identity.owner_made"]


def test_a_token_is_good_until_it_is_revoked_or_over_and_is_stored_as_a_digest(kit: Kit, clock: Any) -> None:
    owner(kit)
    with db.write(kit.db) as tx:
        made = identity.new_token(tx, kit.call(ADA), ADA, "ci", life=timedelta(days=2))
        who = identity.who_is(tx, kit.call("anonymous"), "api", made.secret)
    assert (who.actor, who.via, who.read_only) == (ADA, "token", False)
    assert made.secret.encode() not in stored_bytes(kit)
    assert made.secret not in repr(kinds(kit))
    clock.advance(timedelta(days=2))
    with db.write(kit.db) as tx:
        with pytest.raises(Unauthenticated):
            identity.who_is(tx, kit.call("anonymous"), "api", made.secret)
        again = identity.new_token(tx, kit.call(ADA), ADA, "ci")
        assert identity.revoke(tx, kit.call(ADA), again.credential.id).revoked_at == clock.now()
        identity.revoke(tx, kit.call(ADA), again.credential.id)
        with pytest.raises(Unauthenticated):
            identity.who_is(tx, kit.call("anonymous"), "api", again.secret)
        states = [identity.state_of(c, clock.now()) for c in identity.credentials(tx)]
    assert states == ["revoked", "expired"]
    assert kinds(kit)[1:] == ["identity.token_made", "identity.token_made", "identity.token_revoked"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "null", "true", "42", "a/b", "a\x1b[2J", "a" * 201, "latest", "caf\u0065\u0301"]
)
def test_token_names_follow_the_one_grammar(kit: Kit, name: str) -> None:
    owner(kit)
    with db.write(kit.db) as tx, pytest.raises(InvalidInput):
        identity.new_token(tx, kit.call(ADA), ADA, name)


@pytest.mark.parametrize("life", [timedelta(0), timedelta(seconds=59), timedelta(days=-1), timedelta(days=9_999)])
def test_a_token_lives_for_a_bounded_time(kit: Kit, life: timedelta) -> None:
    owner(kit)
    with db.write(kit.db) as tx, pytest.raises(InvalidInput):
        identity.new_token(tx, kit.call(ADA), ADA, "x", life=life)


def test_nobody_has_a_token_for_someone_unknown(kit: Kit) -> None:
    with db.write(kit.db) as tx:
        with pytest.raises(NotFound):
            identity.new_token(tx, kit.call(ADA), ADA, "x")
        for bad in ("tok_x", "", "../x", "ver_" + "0" * 26):
            with pytest.raises(InvalidInput):
                identity.revoke(tx, kit.call(ADA), bad)
        with pytest.raises(NotFound):
            identity.revoke(tx, kit.call(ADA), "tok_" + "0" * 26)


def test_a_link_opens_one_session(kit: Kit, clock: Any) -> None:
    owner(kit)
    with db.write(kit.db) as tx:
        link = identity.new_link(tx, kit.call(ADA), ADA)
        late = identity.new_link(tx, kit.call(ADA), ADA)
    with db.write(kit.db) as tx:
        opened = identity.sign_in(tx, kit.call("anonymous"), link.secret)
        assert identity.who_is(tx, kit.call("anonymous"), "session", opened.secret).via == "session"
    with db.write(kit.db) as tx, pytest.raises(Unauthenticated):
        identity.sign_in(tx, kit.call("anonymous"), link.secret)
    clock.advance(timedelta(minutes=15))
    with db.write(kit.db) as tx, pytest.raises(Unauthenticated):
        identity.sign_in(tx, kit.call("anonymous"), late.secret)
    clock.advance(timedelta(days=7))
    with db.write(kit.db) as tx, pytest.raises(Unauthenticated):
        identity.who_is(tx, kit.call("anonymous"), "session", opened.secret)
    assert opened.secret.encode() not in stored_bytes(kit)


def test_of_many_at_once_one_link_opens_one_session(kit: Kit) -> None:
    """D03's shape: the database decides, not a check in Python."""
    owner(kit)
    with db.write(kit.db) as tx:
        link = identity.new_link(tx, kit.call(ADA), ADA)
    opened: list[object] = []

    def one() -> None:
        try:
            with db.write(kit.db) as tx:
                opened.append(identity.sign_in(tx, kit.call("anonymous"), link.secret))
        except Unauthenticated:
            pass

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    assert kinds(kit).count("identity.session_made") == 1
