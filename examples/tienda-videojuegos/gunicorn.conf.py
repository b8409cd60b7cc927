"""Gunicorn lee este archivo solo: la aplicación se carga una vez y después nacen los procesos."""

preload_app = True
accesslog = "-"
control_socket_disable = True
