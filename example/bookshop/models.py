"""Authors and books."""

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100, unique=True)
    country = models.CharField(max_length=60, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Book(models.Model):
    """A book that is out of print cannot be in stock."""

    class Genre(models.TextChoices):
        NOVEL = "novel", "Novel"
        CRIME = "crime", "Crime"
        TRAVEL = "travel", "Travel"
        NATURE = "nature", "Nature"

    title = models.CharField(max_length=120)
    author = models.ForeignKey(Author, on_delete=models.PROTECT, related_name="books")
    genre = models.CharField(max_length=10, choices=Genre)
    published = models.PositiveSmallIntegerField()
    price = models.DecimalField(max_digits=6, decimal_places=2, validators=[MinValueValidator(1)])
    in_stock = models.BooleanField(default=False)
    out_of_print = models.BooleanField(default=False)

    class Meta:
        ordering = ["title"]

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        if self.out_of_print and self.in_stock:
            raise ValidationError(
                {"in_stock": f"“{self.title}” is out of print and cannot be put in stock."}
            )
