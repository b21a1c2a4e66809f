"""As much of a browser as a provider's forms need."""

from __future__ import annotations

import html
import http.cookiejar
import re
import ssl
import urllib.parse
import urllib.request

ANSWER_SECONDS = 20.0
NO_PROXY = urllib.request.ProxyHandler({})

_FORM = re.compile(r'<form[^>]*action="(?P<action>[^"]+)"(?P<body>.*?)</form>', re.DOTALL)
_INPUT = re.compile(r"<input[^>]*>", re.DOTALL)
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


class Browser:
    """Follows redirects, keeps cookies, and fills in the first form of a page."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(NO_PROXY, urllib.request.HTTPSHandler(context=tls), cookies)

    def get(self, url: str) -> str:
        """A page."""
        with self._opener.open(url, timeout=ANSWER_SECONDS) as response:
            return str(response.read().decode())

    def submit(self, page: str, **values: str) -> str:
        """The page's first form, with its own values and these; the page that follows."""
        form = _FORM.search(page)
        assert form is not None, page
        own: dict[str, str] = {}
        for tag in _INPUT.findall(form["body"]):
            attributes = dict(_ATTRIBUTE.findall(tag))
            own[attributes["name"]] = html.unescape(attributes.get("value", ""))
        body = urllib.parse.urlencode({**own, **values}).encode()
        with self._opener.open(html.unescape(form["action"]), body, timeout=ANSWER_SECONDS) as response:
            return str(response.read().decode())
