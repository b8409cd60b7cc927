# La papelera y las páginas del servidor.

# La papelera.
bin = Papelera
bin-lead = Las aplicaciones destruidas se quedan aquí siete días. Solo tú las ves.
bin-empty = La papelera está vacía
bin-empty-text = Una aplicación que borras se queda aquí siete días antes de desaparecer del todo.
bin-going = Guardándose
bin-until = Se elimina del todo el { $date }.
bin-addons = { $n ->
    [one] Un add-on vuelve con ella.
   *[other] { $n } add-ons vuelven con ella.
}
bin-name = Recuperarla con el nombre
bin-name-taken = Otra aplicación tiene ahora este nombre. Elige otro.
bin-restore = Recuperar
bin-not-settled = La aplicación todavía se está guardando. Inténtalo de nuevo en un momento.
bin-purge = Borrar del todo
bin-purge-text = Elimina ahora sus releases, variables y ficheros. No hay vuelta atrás. Sus add-ons siguen en su propia papelera hasta que pasen sus siete días.
flash-restored = { $value } ha vuelto.
flash-purged = { $value } se ha borrado del todo.
apps-binned = { $n ->
    [one] Una aplicación en la papelera
   *[other] { $n } aplicaciones en la papelera
}
did-restore = Recuperada de la papelera

# El servidor.
host = Servidor
host-accounts = Cuentas
host-plans = Planes
host-audit = Registro de cambios
host-capacity = Sitio para más
host-room = { $n ->
    [one] Cabe un dyno más, aproximadamente.
   *[other] Caben unos { $n } dynos más.
}
host-full = Este servidor no tiene sitio para otra aplicación despierta
room-promised = { $promised } de { $most } MB están prometidos a dynos en marcha. Otra aplicación arrancará cuando una de ellas se duerma.
room-memory = Hay { $available } MB de memoria disponibles y { $reserve } MB se reservan. Inténtalo más tarde.
room-disk = El disco de este servidor está casi lleno: quedan { $free } MB libres y { $floor } MB se reservan. Quien lo administra debe hacer sitio.
room-threads = Este servidor tiene { $threads } hilos de un máximo de { $most }: no cabe otro dyno. Inténtalo más tarde.
full-next = La próxima aplicación se dormirá en { $time } si nadie la visita.
full-next-own = { $app } se dormirá la próxima, en { $time }, si nadie la visita.
host-unreadable = No se pueden leer los datos de la máquina.
host-promised = Memoria prometida
host-promised-text = A los dynos en marcha. La mayoría usa una pequeña parte.
host-used = Memoria en uso
host-available = Por los dynos. { $memory } están disponibles en la máquina.
host-running = en marcha ahora
host-of = { $part } de { $whole }
host-busiest = Las aplicaciones que más usan
host-no-apps = Todavía no hay aplicaciones.
host-requests = Peticiones, 2 h
host-disk = Disco
host-disk-free = { $free } libres
host-kind = Clase
host-becomes = Qué pasa con ello
host-size = Tamaño
disk-state = Estado
disk-state-note = Aplicaciones, cuentas, releases: una base de datos.
disk-logs = Líneas de registro
disk-logs-note = Las líneas viejas se van solas.
disk-code = Código y bibliotecas
disk-code-note = De las últimas cinco releases de cada aplicación; las anteriores se van con el siguiente despliegue.
disk-builds = Construcciones
disk-builds-note = Su salida; los archivos subidos se van tras una hora.
disk-git = Repositorios git
disk-git-note = De aplicaciones a las que se hace push; se van con su aplicación.
disk-databases = Bases de datos
disk-databases-note = Las de add-ons destruidos se eliminan tras siete días.
disk-backups = Copias de seguridad
disk-backups-note = Se guardan según su plan.
disk-stack = Stack
disk-stack-note = Copias de las imágenes sobre las que se apoya todo.
disk-other = Otros
host-images = { $n ->
    [one] Una imagen.
   *[other] { $n } imágenes; las que están en uso se quedan.
}
host-orphans = Ficheros que ninguna release nombra: { $size }.
host-binned = { $n ->
    [one] Una aplicación en la papelera se elimina cuando pasen sus siete días.
   *[other] { $n } aplicaciones en la papelera se eliminan cuando pasen sus siete días.
}
host-clean = Limpiar
host-clean-text = Las imágenes se rehacen a partir de ficheros cuando una aplicación despierta; esa vez tarda unos segundos más.
flash-cleaned = Imágenes y ficheros eliminados: { $value }
host-queue = Cola de construcciones
host-slots = { $n ->
    [one] una a la vez
   *[other] { $n } a la vez
}
host-queue-empty = Ninguna construcción espera ni está en marcha.
host-engine = Motor de contenedores
host-answers = Responde
host-silent = No responde
host-engine-down = El motor de contenedores no responde
host-engine-down-text = El panel y las variables siguen funcionando; los despliegues y los despertares no. Mira `systemctl status docker` en la máquina.
host-version = Siesta
host-dashboard = Panel
host-domain = Dominio de las aplicaciones
host-cert = Certificado
host-cert-own = Propio (SIESTA_TLS_CERT)
host-cert-local = De la autoridad local
host-data = Carpeta de datos
host-limits = Límites
host-limits-text = Los límites con un nombre en mayúsculas son ajustes del servidor; los demás los dice un plan.
limit-app-memory = Memoria para todos los dynos
limit-by-machine = según la máquina
limit-reserve = Memoria que queda libre
limit-disk = Disco que queda libre
limit-slots = Construcciones a la vez
limit-standbys = Apps dormidas con un dyno preparado
limit-postgres = Memoria del servidor de bases de datos
limit-dyno-disk = Disco de un dyno
limit-upload = Tamaño de una subida
limit-waiting = Peticiones de una aplicación en espera
limit-api = Llamadas a la API de una cuenta por hora
limit-one-offs = Dynos puntuales de una cuenta / en total

# Cuentas y planes.
plan = Plan
host-since = Desde
host-actions = Acciones
host-admin = Administrador
host-suspended = Suspendida
host-plan-of = Plan de { $email }
host-reset = Enlace para la contraseña
host-reset-of = Crear un enlace para que { $email } ponga una contraseña nueva
host-reset-once = Un enlace para { $email }
host-reset-once-text = Sirve para poner una contraseña nueva, vale una hora y se muestra solo esta vez.
host-suspend = Suspender
host-let-in = Volver a admitir
host-not-yourself = No puedes suspenderte a ti mismo.
flash-suspended = { $value } está suspendida; sus sesiones han terminado.
flash-let-in = { $value } puede volver a entrar.
host-plans-text = El plan propio de una aplicación cuenta más que el de su cuenta.
plan-quota = Cuota
plan-daily = { $awake } despierta en cada { $window }
plan-monthly = { $pool } de la cuenta al mes
plan-no-quota = Sin cuota
plan-quota-daily = Diaria, por aplicación
plan-quota-monthly = Mensual, por cuenta
plan-new = Plan nuevo
plan-new-hint = Empieza con los límites de free.
plan-there = Ya hay un plan con ese nombre.
plan-give = Dar a una aplicación un plan propio
plan-give-hint = Las cuentas reciben el suyo en la página de cuentas.
plan-of-account = el de su cuenta
flash-plan-given = El plan de { $value } ha cambiado.
flash-plan-deleted = El plan { $value } se ha borrado.
plan-at-once = Cuenta enseguida para las aplicaciones en marcha.
plan-sleep = Sin visitas
plan-sleep-stop = se paran sus dynos
plan-sleep-nap = echa una siesta sin dejar de estar en marcha
plan-sleep-never = sigue despierta
plan-memory = Memoria de un dyno, MB
plan-dynos = Dynos de un tipo de proceso
plan-types = Tipos de proceso a la vez
plan-idle = Duerme tras, minutos
plan-nap = Siesta tras, segundos
plan-nap-hint = 0: nunca.
plan-awake = Tiempo despierta, horas
plan-awake-hint = De una cuota diaria.
plan-window = Ventana, horas
plan-rest = Descanso, horas
plan-rest-hint = Al menos la ventana menos el tiempo despierta.
plan-pool = Bolsa mensual, horas
plan-pool-hint = De una cuota mensual.
plan-rows = Filas de una base de datos
plan-apps = Aplicaciones de una cuenta
plan-build = Tiempo de una construcción, minutos
plan-build-memory = Memoria de una construcción, MB
plan-no-number = Escribe un número.
plan-delete = Borrar plan
plan-delete-text = Solo se puede borrar un plan que nadie tiene.
plan-unknown = No hay ningún plan llamado { $name }.
plan-no-app = No hay ninguna aplicación con ese nombre.
plan-no-account = No hay ninguna cuenta con esa dirección.
plan-free-stays = El plan free no se puede borrar: es el que tiene quien no ha recibido otro.
plan-in-use = Aplicaciones que lo tienen: { $apps }, cuentas: { $accounts }. Dales otro antes.
plan-bad-name = El nombre de un plan tiene de 1 a 30 letras minúsculas, cifras y guiones, y empieza por una letra.
plan-range = { $what }: entre { $least } y { $most }.
plan-short-rest = El descanso debe ser al menos la ventana menos el tiempo despierta: con menos, las horas viejas aún contarían al acabar.
plan-awake-over = El tiempo despierta no puede ser mayor que su ventana. Para un plan sin cuota elige «Sin cuota».

# Un fallo nuestro.
request-id = Petición
try-again = Reintentar

# El registro de cambios.
audit-text = Quién cambió qué. Se guardan los diez mil más recientes.
audit-filter = Una persona, una aplicación o una acción
audit-empty = Todavía no se ha cambiado nada, o nada coincide.
audit-what = Qué
audit-on = Sobre
audit-from = Desde
audit-operator = operador

# Las copias en la página del servidor.
host-backup-newest = la última de cada base de datos
host-backup-of = Base de datos
host-backup-none = Ninguna aún
host-backup-good = La última buena es { $name }, { $time }.
host-backup-no-good = No hay ninguna buena.
host-backup-no-databases = Aún no hay bases de datos.
host-backup-whole = La última copia del servidor entero se hizo
host-backup-whole-never = Nunca se ha hecho una copia del servidor entero con
