"""A real OpenID provider (django-oauth-toolkit) in one file, run by tests as a process of its own:
`python openid_provider.py FOLDER [REDIRECT…]`.

Prints a line of JSON when it listens: issuer, client, the person's subject. People sign in with a
form; consent is a form, too.
"""

import json
import sys
from pathlib import Path
from typing import Any

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

folder = Path(sys.argv[1])
rsa_key = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    .decode()
)
TEMPLATE = (
    '<form method="post">{% csrf_token %}{{ form }}<button name="{{ button }}"'
    ' value="Authorize"></button></form>'
)

settings.configure(
    DEBUG=False,
    SECRET_KEY="a provider for tests" * 3,
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(folder / "provider.db"),
            "OPTIONS": {"timeout": 20},
        }
    },
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [str(folder)],
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }
    ],
    LOGGING={
        "version": 1,
        "handlers": {"err": {"class": "logging.StreamHandler"}},
        "loggers": {"django.request": {"handlers": ["err"], "level": "ERROR"}},
    },
    LOGIN_URL="/login/",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    OAUTH2_PROVIDER={
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": rsa_key,
        "SCOPES": {"openid": "who you are"},
        "PKCE_REQUIRED": True,
        "DEVICE_FLOW_INTERVAL": 1,
        "OAUTH_DEVICE_VERIFICATION_URI": "/o/device/",
    },
)
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.views import ConnectDiscoveryInfoView  # noqa: E402


def metadata(request: Any) -> JsonResponse:
    """The provider's own, with the device flow's endpoint, which it serves and does not name
    (RFC 8628, 4).
    """
    body = json.loads(ConnectDiscoveryInfoView.as_view()(request).content)
    return JsonResponse(
        {**body, "device_authorization_endpoint": body["issuer"] + "/device-authorization/"}
    )


urlpatterns = [
    path("o/.well-known/openid-configuration", metadata),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("login/", LoginView.as_view(template_name="login.html")),
]


def main() -> None:
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_args: object) -> None: ...

    (folder / "login.html").write_text(TEMPLATE)
    call_command("migrate", verbosity=0)
    people = {
        name: get_user_model().objects.create_user(name, password=f"{name} of the plant")
        for name in ("anna", "mallory")
    }
    common = {"client_type": "public", "algorithm": "RS256", "skip_authorization": False}
    Application.objects.create(
        client_id="framegate",
        authorization_grant_type="authorization-code",
        redirect_uris=" ".join(["http://127.0.0.1/", *sys.argv[2:]]),
        name="code",
        **common,
    )
    Application.objects.create(
        client_id="framegate-device",
        authorization_grant_type="urn:ietf:params:oauth:grant-type:device_code",
        name="device",
        **common,
    )
    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
    issuer = f"http://127.0.0.1:{server.server_port}/o"
    print(
        json.dumps({"issuer": issuer, "subjects": {n: str(p.pk) for n, p in people.items()}}),
        flush=True,
    )
    server.serve_forever()


if __name__ == "__main__":
    main()
