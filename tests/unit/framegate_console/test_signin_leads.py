"""N171: where a sign-in leads to."""

import pytest

from framegate_console.pages.signin import _back


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "//evil.example/x",
        "///evil.example/x",
        "/\\evil.example/x",
        "\\\\evil.example",
        "javascript:alert(1)",
        "cameras",
        "",
        "/signout",
        "/signin?next=/cameras",
    ],
)
def test_n171_a_sign_in_leads_to_no_other_site_and_not_out_again(path):
    assert _back(path) == "/"


def test_n171_it_leads_to_the_page_that_was_asked_for():
    assert _back("/camera/camera.line-1.cam1?since=1") == "/camera/camera.line-1.cam1"
