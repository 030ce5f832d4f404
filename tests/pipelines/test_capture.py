"""What a thread prints is captured for it alone, and stdout is afterwards what it was."""

from __future__ import annotations

import sys
import threading

from keepwell.pipelines.capture import captured


def test_threads_do_not_mix() -> None:
    before = (sys.stdout, sys.stderr)
    barrier = threading.Barrier(8)
    found: dict[int, str] = {}

    def work(number: int) -> None:
        with captured() as buffer:
            barrier.wait()
            for _ in range(50):
                print(number)
                print(number, file=sys.stderr)
            barrier.wait()
        found[number] = buffer.getvalue()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: f"{n}\n" * 100 for n in range(8)}
    assert (sys.stdout, sys.stderr) == before


def test_captures_nest_and_others_print_on(capsys: object) -> None:
    with captured() as outer:
        print("a")
        with captured() as inner:
            print("b")
        print("c")
        other = threading.Thread(target=lambda: print("aside"))
        other.start()
        other.join()
        sys.stdout.flush()
        assert sys.stdout.writable()
    assert (outer.getvalue(), inner.getvalue()) == ("a\nc\n", "b\n")
    assert capsys.readouterr().out == "aside\n"  # type: ignore[attr-defined]
