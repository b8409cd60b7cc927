"""Segundo tipo de proceso (`worker`): prepara los pedidos nuevos y los da por enviados.

Con SQLite cada dyno tiene su propio archivo, así que este proceso solo ve los pedidos de la web
cuando ambos comparten una base de datos por medio de DATABASE_URL.
"""

import logging
import os
import signal
import threading

from tienda.modelos import Base, Pedido, abrir_base

PAUSA = float(os.environ.get("PAUSA_WORKER", "10"))

registro = logging.getLogger("worker")
parar = threading.Event()


def avanzar(sesiones):
    """Da un paso a cada pedido: recibido, en preparación, enviado. Devuelve cuántos avanzaron."""
    siguiente = {"recibido": "en preparación", "en preparación": "enviado"}
    with sesiones.begin() as sesion:
        pedidos = sesion.query(Pedido).filter(Pedido.estado.in_(siguiente)).order_by(Pedido.id).all()
        for pedido in pedidos:
            pedido.estado = siguiente[pedido.estado]
            registro.info("pedido %s: %s", pedido.id, pedido.estado)
    return len(pedidos)


def main():
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    for senal in (signal.SIGTERM, signal.SIGINT):
        signal.signal(senal, lambda *_: parar.set())
    motor, sesiones = abrir_base()
    Base.metadata.create_all(motor)
    registro.info("en marcha, mira los pedidos cada %g s", PAUSA)
    while not parar.is_set():
        avanzar(sesiones)
        parar.wait(PAUSA)
    registro.info("adiós")


if __name__ == "__main__":
    main()
