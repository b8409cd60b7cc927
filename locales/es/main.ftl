# El marco, las páginas de entrada, la lista de aplicaciones.
skip = Saltar al contenido
breadcrumb = Ruta
account-menu = Menú de la cuenta
apps = Aplicaciones
account = Cuenta
log-in = Iniciar sesión
log-out = Cerrar sesión
language = Idioma
theme = Tema
theme-light = Claro
theme-dark = Oscuro
theme-system = Sistema
copy = Copiar
cancel = Cancelar
just-now = ahora mismo
ago = hace { $time }
to-apps = Volver a tus aplicaciones

email = Correo electrónico
password = Contraseña
new-password = Contraseña nueva
password-hint = Al menos 8 caracteres; mejor una frase de 15 o más.
password-short = La contraseña es demasiado corta: usa al menos 8 caracteres, mejor 15.
password-long = La contraseña tiene más de 128 caracteres.
password-common = Esa contraseña es de las más usadas y fácil de adivinar. Elige otra.

claim-title = Crea la cuenta de administración
claim-lead = Este servidor aún no tiene administrador. Lo será quien tenga el código de reclamación.
claim-token = Código de reclamación
claim-token-hint = Aparece en el terminal donde se arrancó el servidor.
claim-do = Reclamar este servidor
claim-bad = Ese código de reclamación no es correcto. Aparece donde se arrancó el servidor; al reiniciarlo sale uno nuevo.
claim-done-already = Este servidor ya tiene administrador. Inicia sesión.
flash-claimed = El servidor es tuyo. Te damos la bienvenida.
sign-up-question = ¿Quién puede registrarse?
sign-up-open = Cualquiera
sign-up-open-hint = Quien llegue a esta dirección puede crear una cuenta.
sign-up-invite = Con invitación
sign-up-invite-hint = Tú repartes enlaces; cada uno sirve para una cuenta.
sign-up-closed = Nadie
sign-up-closed-hint = Solo tú creas las cuentas.

login-wrong = Ha habido un problema al iniciar sesión.
login-later = { $n ->
    [one] Demasiados intentos. Prueba otra vez dentro de un segundo.
   *[other] Demasiados intentos. Prueba otra vez dentro de { $n } segundos.
}
forgot-hint = ¿Has olvidado la contraseña? Quien administra este servidor puede enviarte un enlace para poner una nueva.
new-here = ¿Primera vez aquí?
sign-up = Registrarse
sign-up-lead = Con una cuenta basta para poner una aplicación en la web.
sign-up-is-closed = El registro está cerrado en este servidor. Pide una cuenta a quien lo administra.
sign-up-needs-invite = Este servidor solo admite cuentas nuevas con invitación. Pide un enlace a quien lo administra.
have-account = ¿Ya tienes cuenta?
email-taken = Ya existe una cuenta con ese correo electrónico.
email-bad = Eso no es una dirección de correo. Escríbela como ana@example.org.
link-bad = Ese enlace ya no es válido. Pide uno nuevo.
account-suspended = Esta cuenta está suspendida.
flash-logged-out = Has cerrado la sesión.
reset-title = Pon una contraseña nueva
reset-lead = Se cierran todas las sesiones de tu cuenta; vuelve a entrar con la contraseña nueva.
reset-do = Guardar contraseña
flash-password-set = La contraseña nueva está guardada. Inicia sesión con ella.

oops-404 = No se encuentra
oops-404-text = En esta dirección no hay nada, o no te corresponde verlo.
oops-403 = No está permitido
oops-405 = Eso no funciona aquí
oops-405-text = Esta dirección no acepta lo que se le ha enviado.
oops-500 = Algo ha fallado
oops-500-text = El fallo es nuestro y ha quedado anotado. Prueba otra vez; si sigue igual, avisa a quien administra este servidor.
oops-other = No ha funcionado

state-blank = Sin código
state-awake = Despierta
state-napping = En siesta
state-asleep = Dormida
state-waking = Despertando
state-building = Construyendo
state-crashed = Caída
state-off = Apagada
state-resting = Descansando
strip-label = Despierta { $awake }, dormida { $asleep } en las últimas { $whole }

new-app = Nueva aplicación
apps-empty = Tu primera aplicación en tres pasos
first-1 = Crea una aplicación
first-1-text = Su nombre será su dirección.
first-2 = Envía tu código
first-2-text = Sube la carpeta de una aplicación Python como archivo .tar.gz: el Procfile dice qué arrancar y requirements.txt qué instalar.
first-3 = Ábrela
first-3-text = La aplicación responde en su propia dirección. Sin visitas se duerme y despierta con la siguiente.
new-title = Crear una aplicación
app-name = Nombre de la aplicación
suggest = Sugerir un nombre
create-app = Crear aplicación
name-rule = De 3 a 30 letras minúsculas, cifras y guiones. Si lo dejas vacío, se inventa uno.
name-free = Este nombre está disponible.
name-address = Tu aplicación responderá en
name-short = El nombre es demasiado corto: usa al menos 3 caracteres.
name-long = El nombre es demasiado largo: usa como mucho 30 caracteres.
name-malformed = Usa letras minúsculas, cifras y guiones; empieza por una letra y acaba en letra o cifra.
name-reserved = Este nombre está reservado para la plataforma. Elige otro.
name-taken = Este nombre no está disponible.
apps-limit = { $n ->
    [one] Tu plan admite una aplicación. Bórrala para hacer sitio.
   *[other] Tu plan admite { $n } aplicaciones. Borra una para hacer sitio.
}
flash-created = { $value } ya existe. Ahora dale código.
apps-filter = Parte de un nombre
apps-none = Ninguna aplicación tiene «{ $part }» en su nombre
apps-all = Ver todas
sort = Orden
sort-name = Por nombre
sort-deploy = Último despliegue primero
sort-awake = Más tiempo despierta primero
show-password = Mostrar lo escrito
