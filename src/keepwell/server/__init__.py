"""The HTTP edge: app, sign-in, API and pages."""
