from django.conf import settings
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from .models import Nota


def tablon(request):
    if request.method == "POST":
        texto = request.POST.get("texto", "").strip()[:280]
        if texto:
            Nota.objects.create(texto=texto)
        return redirect("tablon")
    return render(request, "notas/tablon.html", {"notas": Nota.objects.all()[:100], "titulo": settings.TITULO})


@require_POST
def borrar(request, numero):
    get_object_or_404(Nota, pk=numero).delete()
    return redirect("tablon")
