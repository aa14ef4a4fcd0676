"""The WSGI application, for granian or any other server: `tallystick.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")

application = get_wsgi_application()
