import httpx
import os

MM_API_KEY = os.environ["MM_API_KEY"]

def escalate_incident(incident_id: str, severity: str, affected: list[str], summary: str):
    recipients = {
        "P0": ["oncall@remote.example", "cto@remote.example"],
        "P1": ["oncall@remote.example"],
    }
    mode = "gated_send" if severity == "P0" else "monitored"

    body = f"""Incident {incident_id} — {severity}

Affected services: {', '.join(affected)}

{summary}

This message was drafted by the incident-response agent and requires approval before delivery.
"""
    resp = httpx.post(
        "https://api.multimail.dev/v1/send_email",
        headers={"Authorization": f"Bearer {MM_API_KEY}"},
        json={
            "from": "incidents@ours.example",
            "to": recipients.get(severity, ["ops@remote.example"]),
            "subject": f"[{severity}] Incident {incident_id}: {affected[0] if affected else 'unknown service'}",
            "body": body,
            "oversight_mode": mode,
            "tags": ["incident", severity.lower(), incident_id],
        },
    )
    resp.raise_for_status()
    data = resp.json()
    return data["message_id"], data.get("pending_approval", False)
