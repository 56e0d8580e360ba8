"""Losses: functions of logits and mask or label, computed in float32."""
