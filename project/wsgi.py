"""Django as a WSGI application; project/asgi.py puts it behind the guard. No settings here."""

from django.core.wsgi import get_wsgi_application

from project.env import settings_module_default

settings_module_default("project.settings")
application = get_wsgi_application()
