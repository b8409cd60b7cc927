# Con qué entra una cuenta
logging-in = Acceso
password-row = Al cambiarla terminan todas las demás sesiones.
change = Cambiar
change-password = Cambiar contraseña
change-password-lead = Terminan todas las demás sesiones de tu cuenta; los tokens de la API siguen valiendo.
current-password = Contraseña actual
password-not-yours = Esa no es tu contraseña actual.
flash-password-changed = La contraseña ha cambiado y las demás sesiones han terminado.
second-factor = Segundo factor
second-factor-row = Un código de tu teléfono en cada acceso.
second-factor-lead = Con él la contraseña sola no basta: se pide además un código de seis cifras de un programa de tu teléfono.
second-factor-scan = Escanéalo con un programa de autenticación (Aegis, Google Authenticator, 1Password …).
second-factor-picture = Código QR con el secreto de abajo
second-factor-type = O escribe allí este secreto:
second-factor-first = Las seis cifras que el programa muestra ahora.
second-factor-on = El segundo factor está activado
second-factor-is-on = Está activado.
second-factor-there = Esta cuenta ya tiene un segundo factor.
flash-second-factor-off = El segundo factor está desactivado.
recovery-text = Guarda estos códigos de recuperación donde guardas los papeles importantes. Cada uno te deja entrar una vez sin el teléfono. Solo se muestran ahora.
recovery-kept = Los he guardado
recovery-left = { $n ->
    [one] Queda un código de recuperación.
   *[other] Quedan { $n } códigos de recuperación.
}
turn-on = Activar
turn-off = Desactivar
code = Código
code-title = Un paso más
code-lead = Escribe el código que muestra ahora tu teléfono.
code-hint = Seis cifras, o uno de tus códigos de recuperación.
code-wrong = Ese código no es correcto o ya se usó. Espera al siguiente.
login-code-late = Ha tardado demasiado. Entra otra vez.

terminal-title = Una terminal pide entrar
terminal-lead = Recibiría un token de la API de { $email }, válido 30 días, y podría hacer todo lo que tú puedes.
terminal-says = Lo que dice de sí misma
terminal-from = Desde dónde pregunta
terminal-warning = Di que sí solo si acabas de escribir «heroku login» tú, en esa terminal. Quien te haya mandado esta dirección quiere tu cuenta.
terminal-yes = Sí, soy yo
terminal-no = No
terminal-let-in = La terminal ha entrado
terminal-sent-away = La terminal se ha ido con un no
terminal-close = Puedes cerrar esta página. Los tokens se ven, y se revocan, en la página de tu cuenta.
terminal-nobody = Aquí ya no espera ninguna terminal
terminal-again = El inicio de sesión ya tuvo respuesta, o han pasado diez minutos. Escribe «heroku login» otra vez.
