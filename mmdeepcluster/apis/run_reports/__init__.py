"""The run report: what a work dir holds, gathered into one page."""

from mmdeepcluster.apis.run_reports.report import write_report

__all__ = ["write_report"]
