"""dbt's conformance suite is imported only where it is run: that takes seconds."""


def pytest_ignore_collect(collection_path, config):
    is_suite = collection_path.name == "adapter" and collection_path.is_dir()
    return True if is_suite and "not dbt_adapter" in (config.option.markexpr or "") else None
