"""How the pages look that the edge itself answers with: errors, and the form of a sign-in link."""

from __future__ import annotations

from keepwell.server.routing import Look, Problem
from keepwell.server.ui.render import render

TITLES = {
    400: "That does not work as asked",
    401: "You are not signed in",
    403: "Not allowed",
    404: "There is nothing here",
    405: "Not that way",
    409: "It changed in the meantime",
    413: "Too large",
    500: "Something went wrong inside Keepwell",
    501: "Not installed here",
    503: "Busy right now",
}
NEXT = {
    401: "On the machine that runs Keepwell, 'keepwell token link' prints a new sign-in link; open it in this browser.",
    403: "An owner of this house can do it, or can give you a token that may.",
    404: "Look for it by name or id with the search above, or start from Today.",
    409: "Go back, look at what it is now, and decide again.",
    500: "Nothing was half done: what Keepwell records is written whole or not at all.",
    503: "Wait a moment and load the page again.",
}


def problem_page(problem: Problem) -> str:
    """Return an error as a page: what is wrong, and what to do next."""
    return render(
        "problem.html",
        problem.who,
        None,
        title=TITLES.get(problem.status, "That did not work"),
        at=problem.at,
        problem=problem,
        next_step=NEXT.get(problem.status, ""),
    )


def sign_in_page(code: str) -> str:
    """Return the form that uses up a one-time link."""
    return render("sign_in.html", None, None, title="Sign in", code=code)


LOOK = Look(problem=problem_page, sign_in=sign_in_page)
