-- Argo CD's health of a JobTemplate, from the condition Ready that OddJob's server keeps.
local hs = {status = "Progressing", message = "OddJob has not looked at it yet"}
if obj.status == nil or obj.status.conditions == nil then
  return hs
end
for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Ready" then
    -- What was said of an earlier generation says nothing of this one.
    if condition.observedGeneration ~= nil and obj.metadata.generation ~= nil
        and condition.observedGeneration < obj.metadata.generation then
      return hs
    end
    hs.message = condition.reason .. ": " .. condition.message
    if condition.status == "True" then
      hs.status = "Healthy"
    elseif condition.status == "False" then
      hs.status = "Degraded"
    end
    return hs
  end
end
return hs
