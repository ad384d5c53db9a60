"""The rules of FOCUS 1.4, Cost and Usage, for what an invoice can hold: what the specification says that
each column MUST be (specification/datasets/cost_and_usage/columns, attributes)."""
import datetime
import re
from decimal import Decimal

from harness import check

MANDATORY = """BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart
ChargeCategory ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost
HostProviderName InvoiceIssuerName ListCost PricingQuantity PricingUnit ServiceCategory ServiceName
ServiceProviderName""".split()
# A provider with prices, usage and invoices has these, too.
CONDITIONAL = """ChargeFrequency ConsumedQuantity ConsumedUnit ContractedUnitPrice InvoiceId ListUnitPrice PricingCategory
ResourceId ResourceName ResourceType SkuId SkuPriceId""".split()
NOT_NULL = """BilledCost BillingAccountId BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory ChargeFrequency
ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost HostProviderName InvoiceIssuerName ListCost
ServiceCategory ServiceName ServiceProviderName""".split()
DECIMALS = """BilledCost ContractedCost EffectiveCost ListCost PricingQuantity ConsumedQuantity ContractedUnitPrice
ListUnitPrice""".split()
TIMES = ["BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"]
CATEGORIES = {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}


def check_values(row):
    for name in NOT_NULL:
        check(row[name] != "", name, "is null", row)
    for name in DECIMALS:  # NumericFormat: no sign but -, no commas, E without +
        check(re.fullmatch(r"(-?[0-9]+(\.[0-9]+)?(E-?[0-9]+)?)?", row[name]), name, row[name])
    for name in TIMES:  # DateTimeFormat: UTC
        datetime.datetime.strptime(row[name], "%Y-%m-%dT%H:%M:%SZ")
    for name, value in row.items():  # StringHandling
        check(value == value.strip() and value.lower() != "null", name, repr(value))
    check(re.fullmatch("[A-Z]{3}", row["BillingCurrency"]), row["BillingCurrency"])
    check(row["ChargeCategory"] in CATEGORIES and row["ChargeClass"] in ("", "Correction"), row)
    check(row["PricingCategory"] in ("", "Standard", "Dynamic", "Committed", "Other"), row)
    check(row["ChargeFrequency"] in ("One-Time", "Recurring", "Usage-Based"), row)
    check(row["ServiceCategory"] == "AI and Machine Learning", row)


def check_row(row):
    check_values(row)
    number = {name: Decimal(row[name]) if row[name] != "" else None for name in DECIMALS}
    sold = row["ChargeCategory"] in ("Usage", "Purchase")
    if sold and row["ChargeClass"] == "":
        for name in ("SkuId", "SkuPriceId", "PricingQuantity", "PricingUnit", "PricingCategory", "ListUnitPrice",
                     "ContractedUnitPrice"):
            check(row[name] != "", name, "is null", row)
        check(number["ContractedCost"] == number["ListCost"], "no negotiated price", row)
    if row["SkuPriceId"] == "":
        for name in ("PricingQuantity", "PricingCategory", "ListUnitPrice", "ContractedUnitPrice", "ConsumedQuantity"):
            check(row[name] == "", name, "is not null", row)
    else:
        check(row["ListUnitPrice"] != "", row)
    check((row["PricingQuantity"] == "") == (row["PricingUnit"] == ""), row)
    check((row["ConsumedQuantity"] == "") == (row["ConsumedUnit"] == ""), row)
    if row["ChargeCategory"] != "Usage":
        check(row["ConsumedQuantity"] == "", row)
    elif row["ChargeClass"] == "":
        check(row["ConsumedQuantity"] != "", row)
    for price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
        if number[price] is not None and number["PricingQuantity"] is not None:
            check(number[price] * number["PricingQuantity"] == number[cost], price, cost, row)
            check(number[price] >= 0, price, row)
    if row["ChargeCategory"] == "Credit":
        check(number["ContractedCost"] == number["BilledCost"], row)
    check(number["EffectiveCost"] == number["BilledCost"], "nothing covers anything", row)
    check(not (row["ChargeCategory"] == "Purchase" and row["ChargeFrequency"] == "Usage-Based"), row)
    check((row["ResourceId"] == "") == (row["ResourceType"] == ""), row)
    check(row["ResourceId"] != "" or row["ResourceName"] == "", row)
    check(row["BillingPeriodStart"] < row["BillingPeriodEnd"] and row["ChargePeriodStart"] < row["ChargePeriodEnd"], row)
    if row["ChargeClass"] == "Correction":  # of an earlier period
        check(row["ChargePeriodEnd"] <= row["BillingPeriodStart"], row)


def check_focus(rows, totals):
    """`rows` as csv.DictReader gives them; `totals` of invoices by their numbers."""
    columns = list(rows[0])
    missing = [name for name in MANDATORY + CONDITIONAL if name not in columns]
    check(not missing, "missing:", missing)
    own = [i for i, name in enumerate(columns) if name not in MANDATORY + CONDITIONAL]
    check(all(re.fullmatch("x_[A-Z][A-Za-z]*", columns[i]) for i in own), columns)  # CustomColumns
    check(own == list(range(len(columns) - len(own), len(columns))), "own columns come last")
    skus, prices, sums = {}, {}, {}
    for row in rows:
        check_row(row)
        if row["SkuPriceId"]:  # one parent, one price
            check(skus.setdefault(row["SkuPriceId"], row["SkuId"]) == row["SkuId"], row)
            if row["PricingUnit"] != "Charges":
                check(prices.setdefault(row["SkuPriceId"], row["ListUnitPrice"]) == row["ListUnitPrice"], row)
        sums[row["InvoiceId"]] = sums.get(row["InvoiceId"], Decimal(0)) + Decimal(row["BilledCost"])
    check(sums == {number: Decimal(total) for number, total in totals.items()}, sums, totals)
