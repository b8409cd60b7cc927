"""Tienda de videojuegos: catálogo, carrito y pedidos. Una app de ejemplo para Siesta."""

import os
import secrets

from flask import Flask

from .catalogo import sembrar
from .modelos import Base, abrir_base
from .vistas import vistas


def crear_app(direccion=None):
    """Crea la aplicación. `direccion` es la de la base de datos; si falta, vale DATABASE_URL."""
    app = Flask(__name__)
    # Sin SECRET_KEY los carritos duran hasta el siguiente arranque; con ella, entre arranques.
    app.secret_key = os.environ.get("SECRET_KEY") or secrets.token_hex(32)
    app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_HTTPONLY=True, MAX_CONTENT_LENGTH=64 * 1024)
    motor, app.sesiones = abrir_base(direccion)
    Base.metadata.create_all(motor)
    sembrar(app.sesiones)
    # Gunicorn se divide después de esto: ninguna conexión pasa de un proceso a otro.
    motor.dispose()
    app.register_blueprint(vistas)
    app.add_template_filter(lambda centimos: f"{centimos / 100:.2f} €".replace(".", ","), "euros")
    return app
