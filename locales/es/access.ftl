# Quién puede tocar una app.
access = Acceso
collaborators = Colaboradores
access-text = Quién puede trabajar en esta app además de su dueño. «Desplegar» puede hacer todo menos renombrar, transferir y borrar la app o cambiar esta lista; «Ver» ve compilaciones, versiones y logs, no los valores de las variables.
access-add = Añadir un colaborador por correo o nombre de GitHub
access-hint = Necesita una cuenta en este servidor; por nombre de GitHub, una conectada con GitHub.
access-remove = Quitar
access-leave = Salir
access-owner-only = Solo el dueño de una app puede decir quién más puede tocarla.
role = Rol
role-of = Rol de { $email }
role-owner = Dueño
role-deploy = Desplegar
role-view = Ver
flash-access-given = { $value } ya puede trabajar en esta app.
flash-access-taken = Se quitó el acceso a { $value }.
collaborator-unknown = Nadie tiene en este servidor la dirección o el nombre de GitHub { $email }. Invítale primero.
collaborator-owner = El dueño de una app ya tiene todos los derechos.
