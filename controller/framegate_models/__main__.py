"""`python -m framegate_models`: how framegate-gateway hands its model and data commands over."""

from framegate_models.main import run_app

run_app()
