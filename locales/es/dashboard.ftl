# Métricas, la página del servidor, lo que responde la vista general, variables de un fichero, la paleta.
metrics = Métricas
range = Tiempo mostrado
range-2h = 2 horas
range-24h = 24 horas
range-72h = 72 horas
range-7d = 7 días
metrics-charts = Gráficos. Las flechas se mueven por el tiempo.
metrics-table = Los números
metrics-in-table = Los números están en la tabla de abajo.
metrics-nothing = Aquí no se contó nada
metrics-empty = Aún no hay números
metrics-empty-text = Aparecen tras la primera petición y se guardan siete días.
chart-requests = Peticiones
crashes = Caídas
chart-times = Tiempo de respuesta
chart-memory = Memoria del dyno que más usa
chart-cpu = CPU, de un núcleo
chart-limit = un dyno tiene { $limit }
memory = Memoria

why = ¿Por qué?
why-awake = ¿Por qué está despierta?
why-awake-visitor = Llegó una visita.
why-awake-request = Llegó una visita: { $who }.
why-awake-hand = Alguien la despertó a mano.
why-awake-release = La arrancó una release nueva.
why-awake-rested = Terminó su descanso.
why-awake-until = Se dormirá en { $time } si no viene nadie más.
why-asleep = ¿Por qué está dormida?
why-asleep-idle = No vino nadie en el tiempo de espera de su plan.
why-asleep-since = No vino nadie en el tiempo de espera de su plan. La última visita: { $who }.
why-asleep-hand = La durmieron a mano.
why-resting = ¿Por qué descansa?
why-resting-text = Ha gastado el tiempo despierta de su plan. Podrá despertar en { $time }.
why-crashed = ¿Por qué se cayó?
why-off = ¿Por qué está apagada?
why-off-text = Ningún tipo de proceso tiene un dyno. Sube una cantidad en Dynos.
why-off-by = { $who } puso sus tipos de proceso a 0. Sube una cantidad en Dynos.
why-not-deployed = ¿Por qué no está desplegada?
why-no-code = Todavía no se le ha enviado código.
why-build-failed = Falló la construcción de { $label }. { $error }
why-build-cancelled = Se canceló la construcción de { $label }.
why-build-queued = La construcción de { $label } espera su turno.

env-label = Varias a la vez, de un fichero .env
env-hint = Líneas como CLAVE=valor. Lo que cambiaría se muestra antes de guardarlo.
env-look = Ver los cambios
env-replace = Quitar las variables que no están en él
env-title = Variables de un fichero
env-lead = Al guardar se crea una release nueva y se reinician los dynos.
env-nothing = Nada cambiaría: todas las variables tienen ya este valor.
env-added = Nueva
env-changed = Cambia
env-removed = Se quita
env-same = Igual
env-save = Guardar y reiniciar
env-line = Línea { $line }: { $why }
env-not-a-pair = escribe CLAVE=valor.
env-open-quote = aquí se abre una comilla que no se cierra.
flash-env-saved = Variables cambiadas: { $value }.

jump = Ir a
jump-hint = Una aplicación o una página

quota-title = Planes y cuota
quota-lead = Qué permiten tus planes y cuánto tiempo han estado despiertas tus aplicaciones.
quota-of-account = de tu cuenta
quota-of-apps = de { $apps }
quota-memory = Memoria de un dyno
quota-idle = Se duerme sin visitas tras
quota-use = Tu uso
quota-total = { $time } en total
quota-empty = Aún no tienes aplicaciones.
quota-rests-in = Descansará en { $time } si sigue despierta
