def model(dbt, session):
    dbt.config(materialized="table")
    orders = dbt.ref("stg_orders").df()
    return orders.groupby("customer_id", as_index=False).agg(orders=("id", "count"))
