# Las páginas de una aplicación.
scale-unknown = Este tipo de proceso no está en el Procfile de la aplicación.
scale-limit = { $n ->
    [one] Una aplicación { $size } ejecuta como mucho un dyno de cada tipo de proceso.
   *[other] Una aplicación { $size } ejecuta como mucho { $n } dynos de cada tipo de proceso.
}
scale-types = { $n ->
    [one] Una aplicación { $size } ejecuta un tipo de proceso a la vez. Pon antes otro a 0.
   *[other] Una aplicación { $size } ejecuta como mucho { $n } tipos de proceso a la vez. Pon antes otro a 0.
}
var-malformed = «{ $key }» no es un nombre de variable. Usa letras, cifras y _, sin empezar por cifra, 128 caracteres como mucho.
var-reserved = { $key } la pone la plataforma y no se puede cambiar.
var-nul = El valor de { $key } contiene un carácter NUL, que ninguna variable de entorno admite.
var-large = El valor de { $key } ocupa más de 32 KiB.
var-total = Las variables de una aplicación caben en 64 KiB como mucho, nombres y valores juntos.
