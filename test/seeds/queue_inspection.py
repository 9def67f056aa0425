import httpx
import os

MM_API_KEY = os.environ["MM_API_KEY"]
BASE = "https://api.multimail.dev/v1"
HEADERS = {"Authorization": f"Bearer {MM_API_KEY}"}

def get_pending_for_incident(incident_id: str) -> list[dict]:
    resp = httpx.get(
        f"{BASE}/list_pending",
        headers=HEADERS,
        params={"tag": incident_id},
    )
    resp.raise_for_status()
    return resp.json()["messages"]

def cancel_if_resolved(incident_id: str, resolved: bool) -> int:
    if not resolved:
        return 0
    pending = get_pending_for_incident(incident_id)
    cancelled = 0
    for msg in pending:
        r = httpx.post(
            f"{BASE}/cancel_message",
            headers=HEADERS,
            json={"message_id": msg["message_id"]},
        )
        if r.status_code == 200:
            cancelled += 1
    return cancelled
