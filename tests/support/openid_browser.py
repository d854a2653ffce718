"""A person's browser for tests: `python openid_browser.py NAME PASSWORD URL` signs in at the
provider, allows, and follows the way back.
"""

import re
import sys
from urllib.parse import urljoin

import requests


class Browser:
    """Cookies, forms, redirects."""

    def __init__(self, name: str, password: str) -> None:
        self._name, self._password = name, password
        self._session = requests.Session()

    def open(self, url: str, *, stop_at: str = "", allow: bool = True) -> str:
        """Go to `url`, signing in and consenting where asked; returns the first address that
        begins with `stop_at`, or the last one.
        """
        page = self._session.get(url, allow_redirects=False)
        for _ in range(20):
            if page.is_redirect:
                url = urljoin(page.url, page.headers["Location"])
                if stop_at and url.startswith(stop_at):
                    return url
                page = self._session.get(url, allow_redirects=False)
                continue
            fields = dict(
                re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text)
            )
            if 'name="password"' in page.text:
                fields |= {"username": self._name, "password": self._password}
            elif 'name="allow"' in page.text:
                fields |= {"allow": "Authorize"} if allow else {}
            elif 'value="deny"' in page.text:
                fields |= {"action": "accept" if allow else "deny"}
            elif 'name="user_code"' in page.text and "user_code=" in page.url:
                fields |= {"user_code": page.url.split("user_code=")[1]}
            else:
                return page.url
            page = self._session.post(
                page.url,
                data={k: v.replace("&quot;", '"').replace("&amp;", "&") for k, v in fields.items()},
                allow_redirects=False,
            )
        raise AssertionError(f"went in circles at {page.url}")


if __name__ == "__main__":
    Browser(sys.argv[1], sys.argv[2]).open(sys.argv[3])
