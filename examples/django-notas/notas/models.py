from django.db import models


class Nota(models.Model):
    texto = models.CharField(max_length=280)
    creada = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-creada"]
