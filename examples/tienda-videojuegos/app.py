"""Lo que sirve gunicorn: `gunicorn app:app`. Para probar en casa: `python app.py`."""

import os

from tienda import crear_app

app = crear_app()

if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
