class RecordsRouter:
    """The records live in a database of their own."""

    def db_for_read(self, model, **hints):
        return "records" if model._meta.app_label == "powercrud_tracking" else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        if app_label == "powercrud_tracking":
            return db == "records"
        return False if db == "records" else None
