from django.urls import path

from setactions.devtools.styles import page

urlpatterns = [path("styles/", page.styles, name="styles")]
