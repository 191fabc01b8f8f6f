// Says once a second that this browser still runs its workers.
onmessage = ({ data: { attempt, token } }) => {
  const beat = () =>
    fetch(`/api/attempts/${attempt}/heartbeat`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
    }).catch(() => {});
  beat();
  setInterval(beat, 1000);
};
