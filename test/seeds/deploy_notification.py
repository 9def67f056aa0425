import httpx
import os

MM_API_KEY = os.environ["MM_API_KEY"]

def send_deploy_notification(env: str, sha: str, duration_s: int, health_checks: list[dict]):
    checks_text = "\n".join(
        f"  - {c['name']}: {'PASS' if c['ok'] else 'FAIL'}" for c in health_checks
    )
    body = f"""Deployment to {env} completed.

Commit: {sha}
Duration: {duration_s}s

Health checks:
{checks_text}

View run: https://github.com/your-org/your-repo/commit/{sha}
"""
    resp = httpx.post(
        "https://api.multimail.dev/v1/send_email",
        headers={"Authorization": f"Bearer {MM_API_KEY}"},
        json={
            "from": "deploys@ours.example",
            "to": ["team@remote.example"],
            "subject": f"Deployment completed for {env}",
            "body": body,
            "oversight_mode": "monitored",
            "tags": ["deploy", env, sha[:8]],
        },
    )
    resp.raise_for_status()
    return resp.json()["message_id"]
