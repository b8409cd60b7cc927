"""Las tablas, y cómo se abre la base de datos."""

import os
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import ForeignKey, String, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker
from sqlalchemy.pool import NullPool

ARCHIVO = Path(__file__).resolve().parent.parent / "tienda.db"


class Base(DeclarativeBase):
    pass


class Juego(Base):
    __tablename__ = "juegos"

    id: Mapped[int] = mapped_column(primary_key=True)
    clave: Mapped[str] = mapped_column(String(40), unique=True)
    titulo: Mapped[str] = mapped_column(String(80))
    plataforma: Mapped[str] = mapped_column(String(40))
    genero: Mapped[str] = mapped_column(String(40))
    resumen: Mapped[str] = mapped_column(String(400))
    precio: Mapped[int]  # céntimos
    existencias: Mapped[int]
    tono: Mapped[int]  # color de la carátula, en grados


class Pedido(Base):
    __tablename__ = "pedidos"

    id: Mapped[int] = mapped_column(primary_key=True)
    creado: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    nombre: Mapped[str] = mapped_column(String(80))
    correo: Mapped[str] = mapped_column(String(120))
    estado: Mapped[str] = mapped_column(String(20), default="recibido")
    lineas: Mapped[list["Linea"]] = relationship(back_populates="pedido", cascade="all, delete-orphan")

    @property
    def total(self):
        return sum(linea.cantidad * linea.precio for linea in self.lineas)


class Linea(Base):
    __tablename__ = "lineas"

    id: Mapped[int] = mapped_column(primary_key=True)
    pedido_id: Mapped[int] = mapped_column(ForeignKey("pedidos.id"))
    juego_id: Mapped[int] = mapped_column(ForeignKey("juegos.id"))
    cantidad: Mapped[int]
    precio: Mapped[int]  # el del momento de la compra
    pedido: Mapped[Pedido] = relationship(back_populates="lineas")
    juego: Mapped[Juego] = relationship()


def abrir_base(direccion=None):
    """Devuelve (motor, sesiones). Sin dirección: DATABASE_URL, y si tampoco la hay, un archivo local."""
    direccion = direccion or os.environ.get("DATABASE_URL") or f"sqlite:///{ARCHIVO}"
    if direccion.startswith("postgres://"):
        direccion = "postgresql://" + direccion.removeprefix("postgres://")
    if not direccion.startswith("sqlite"):
        motor = create_engine(direccion, pool_pre_ping=True)
        return motor, sessionmaker(motor, expire_on_commit=False)
    # Cada petición abre su conexión: así ninguna pasa de un proceso de gunicorn a otro.
    motor = create_engine(direccion, poolclass=NullPool, connect_args={"timeout": 10})

    @event.listens_for(motor, "connect")
    def al_conectar(conexion, _):
        conexion.execute("PRAGMA foreign_keys = ON")
        conexion.execute("PRAGMA journal_mode = WAL")

    return motor, sessionmaker(motor, expire_on_commit=False)
