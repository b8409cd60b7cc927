from django.urls import path

from notas import views

urlpatterns = [path("", views.tablon, name="tablon"), path("borrar/<int:numero>/", views.borrar, name="borrar")]
