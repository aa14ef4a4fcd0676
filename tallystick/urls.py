"""Every address of the house, on one page."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from tallystick.web import (
    customer,
    errors,
    events,
    exchange,
    health,
    landing,
    ledger,
    liquidity,
    overview,
    people,
    pooling,
    safeguarding,
    sign_in,
    statements,
    tracing,
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("account/", people.my_sign_in, name="my-sign-in"),
    path("account/", include("allauth.urls")),
    path("sign-in/link/<str:token>", sign_in.link, name="sign-in-link"),
    path("books/<int:book>/", overview.overview, name="overview"),
    path("books/<int:book>/accounts/", ledger.accounts_page, name="accounts"),
    path("books/<int:book>/accounts/<str:number>/", ledger.account_page, name="account"),
    path("books/<int:book>/accounts/<str:number>/statement.csv", ledger.account_csv, name="account-csv"),
    path("books/<int:book>/accounts/<str:number>/flow/", tracing.account_flow, name="account-flow"),
    path("books/<int:book>/accounts/<str:number>/flow.csv", tracing.account_flow_csv, name="account-flow-csv"),
    path("books/<int:book>/pooling/", pooling.pooling, name="pooling"),
    path("books/<int:book>/transfers/", ledger.transfers_page, name="transfers"),
    path("books/<int:book>/transfers/<str:transfer_id>/", ledger.transfer_page, name="transfer"),
    path("books/<int:book>/positions/<int:position>/", ledger.transfer_at, name="transfer-at"),
    path("books/<int:book>/trial-balance/", ledger.trial_balance_page, name="trial-balance"),
    path("books/<int:book>/trial-balance.csv", ledger.trial_balance_csv, name="trial-balance-csv"),
    path("books/<int:book>/authorisations/", ledger.authorisations_page, name="authorisations"),
    path("books/<int:book>/authorisations/<str:number>/", ledger.authorisation_page, name="authorisation"),
    path("books/<int:book>/refusals/", ledger.refusals_page, name="refusals"),
    path("books/<int:book>/statements/", statements.statements, name="statements"),
    path("books/<int:book>/statements/import", statements.import_statements, name="import-statements"),
    path("books/<int:book>/statements/<str:file_id>/", statements.statement_file, name="statement-file"),
    path(
        "books/<int:book>/statements/<str:file_id>/original", statements.original, name="statement-original"
    ),
    path("books/<int:book>/reconciliation/", statements.reconciliations, name="reconciliations"),
    path("books/<int:book>/reconciliation/run", statements.reconcile, name="reconcile"),
    path(
        "books/<int:book>/reconciliation/<str:reconciliation_id>/",
        statements.reconciled,
        name="reconciliation",
    ),
    path("books/<int:book>/safeguarding/", safeguarding.safeguarding, name="safeguarding"),
    path("books/<int:book>/safeguarding/prove", safeguarding.prove, name="prove"),
    path("books/<int:book>/safeguarding/pack", safeguarding.build_pack, name="build-pack"),
    path("books/<int:book>/safeguarding/arrangements/", safeguarding.arranged, name="arrangements"),
    path("books/<int:book>/safeguarding/arrangements/record", safeguarding.arrange, name="arrange"),
    path("books/<int:book>/safeguarding/<str:proof_id>/", safeguarding.proof, name="proof"),
    path("books/<int:book>/safeguarding/<str:proof_id>/proof.json", safeguarding.proof_file, name="proof-file"),
    path("books/<int:book>/safeguarding/<str:proof_id>/proof.pdf", safeguarding.proof_pdf, name="proof-pdf"),
    path("books/<int:book>/safeguarding/<str:proof_id>/sign", safeguarding.sign, name="sign-proof"),
    path(
        "books/<int:book>/safeguarding/<str:proof_id>/proposals/<int:number>", safeguarding.fund, name="fund"
    ),
    path("books/<int:book>/liquidity/", liquidity.liquidity, name="liquidity"),
    path("books/<int:book>/liquidity/assess", liquidity.assess, name="assess-liquidity"),
    path("books/<int:book>/liquidity/limit", liquidity.set_limit, name="limit-withdrawals"),
    path("books/<int:book>/currencies/", exchange.currencies, name="currencies"),
    path("books/<int:book>/currencies/rate", exchange.record_rate, name="record-rate"),
    path("books/<int:book>/currencies/<str:quote_id>/close", exchange.close, name="close-exchange"),
    path("my/exchange/", exchange.mine, name="my-exchange"),
    path("my/exchange/ask", exchange.ask, name="ask-quote"),
    path("my/exchange/<str:quote_id>/", exchange.quote, name="my-quote"),
    path("my/exchange/<str:quote_id>/consent", exchange.consent, name="consent-quote"),
    path("my/", customer.money, name="my-money"),
    path("my/accounts/<str:number>/", customer.account, name="my-account"),
    path("my/accounts/<str:number>/statement.csv", customer.account_csv, name="my-account-csv"),
    path("my/flow/", tracing.my_flow, name="my-flow"),
    path("my/flow.csv", tracing.my_flow_csv, name="my-flow-csv"),
    path("my/authorisations/", customer.authorisations, name="my-authorisations"),
    path("my/authorisations/<str:number>/", customer.authorisation, name="my-authorisation"),
    path("people/", people.people, name="people"),
    path("people/<int:user>/", people.person, name="person"),
    path("people/<int:user>/roles", people.change_role, name="change-role"),
    path("evidence/", events.events, name="events"),
    path("evidence/<int:event_id>/", events.event, name="event"),
    path("api/v1/", include("tallystick.api.urls")),
    path("", landing.landing, name="landing"),
    path("home/", landing.home, name="home"),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
